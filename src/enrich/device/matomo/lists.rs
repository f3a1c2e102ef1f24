//! Which lists of patterns and which tables of texts there are. The compiler fills them, the detector asks them.

/// A list of patterns, in the order in which the file holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// Texts: name, category, producer.
    Bots,
    /// Texts: name, version; children: those that tell the version better.
    Systems,
    /// Children of systems; texts: name, version.
    SystemVersions,
    /// Texts of this and the next: name, version.
    FeedReaders,
    Apps,
    Players,
    Pims,
    /// Texts: name, version, engine; children: engines by version.
    Browsers,
    Libraries,
    /// Texts: name.
    Engines,
    /// Texts of this and the next: brand, type, model; children: models.
    Televisions,
    ShellTelevisions,
    Notebooks,
    Consoles,
    Cars,
    Cameras,
    Players2,
    Mobiles,
    /// Children of all of these; texts: brand, type, model.
    Models,
    /// Texts: brand.
    Vendors,
    /// By [`Fragment`].
    Fragments,
}

/// How many lists.
pub(crate) const LISTS: usize = List::Fragments as usize + 1;

/// A table of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// Short name, name, family.
    Systems,
    /// Short name, name, family, and `1` where it runs on mobiles only.
    Browsers,
    /// Name in hints, name.
    SystemHints,
    /// Name in hints, name.
    BrowserHints,
    /// Families whose systems run on desktops.
    DesktopFamilies,
    /// Version of Android, version of Fire OS.
    FireOs,
    /// Version of Android, version of Lineage OS.
    LineageOs,
    /// Ids of apps that run on Android, whatever is said beside them.
    AndroidApps,
    /// Clients that run on televisions only.
    TelevisionClients,
    /// Names of engines.
    Engines,
    /// Id of an app, name.
    AppIds,
    /// Id of a browser, name.
    BrowserIds,
}

/// How many tables.
pub(crate) const TABLES: usize = Table::BrowserIds as usize + 1;

/// Columns of every table; what is not used is none.
pub(crate) const COLUMNS: usize = 4;

/// What the algorithm itself looks for in a User-Agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fragment {
    FrozenAndroid,
    DesktopPlatform,
    NoDesktop,
    Hbbtv,
    ShellTelevision,
    Notebook,
    Arm,
    LoongArch,
    Mips,
    SuperH,
    Sparc,
    X64,
    X86,
    ChromeSafari,
    GeckoVersion,
    Vr,
    Chrome,
    Mobile,
    Pad,
    Tablet,
    MobileForm,
    Touch,
    PuffinDesktop,
    PuffinPhone,
    PuffinTablet,
    OperaTelevision,
    Television,
    SmartTelevision,
    TelevisionForm,
    Desktop,
}

/// All of them in order: what must stand before (0 anything, 1 a word's boundary, 2 a fragment's), and the pattern.
pub(crate) const FRAGMENTS: &[(Fragment, u32, &str)] = &[
    (
        Fragment::FrozenAndroid,
        0,
        r"Android (?:1[0-7][.\d]*; K(?: Build/|[;)])|1[0-7]\)) AppleWebKit",
    ),
    (
        Fragment::DesktopPlatform,
        1,
        r"Windows (?:NT|IoT)|X11; Linux x86_64",
    ),
    (
        Fragment::NoDesktop,
        1,
        r"CE-HTML| Mozilla/|Andr[o0]id|Tablet|Mobile|iPhone|Windows Phone|ricoh|OculusBrowser|PicoBrowser|Lenovo|compatible; MSIE|Trident/|Tesla/|XBOX|FBMD/|ARM; ?([^)]+)",
    ),
    (
        Fragment::Hbbtv,
        1,
        r"(?:HbbTV|SmartTvA)/[1-9](?:\.[0-9]){1,2}",
    ),
    (
        Fragment::ShellTelevision,
        1,
        r"[a-z]+[ _]Shell[ _]\w{6}|tclwebkit\d+[.\d]*",
    ),
    (Fragment::Notebook, 1, r"FBMD/"),
    (
        Fragment::Arm,
        1,
        r"arm[ _;)ev]|.*arm$|.*arm64|aarch64|Apple ?TV|Watch ?OS|Watch1,[12]",
    ),
    (Fragment::LoongArch, 1, r"loongarch64"),
    (Fragment::Mips, 1, r"mips"),
    (Fragment::SuperH, 1, r"sh4"),
    (Fragment::Sparc, 1, r"sparc64"),
    (
        Fragment::X64,
        1,
        r"64-?bit|WOW64|(?:Intel)?x64|WINDOWS_64|win64|IRIX;?64|.*amd64|.*x86_?64",
    ),
    (Fragment::X86, 1, r".*32bit|.*win32|(?:i[0-9]|x)86|i86pc"),
    (Fragment::ChromeSafari, 0, r"Chrome/.+ Safari/537.36"),
    (
        Fragment::GeckoVersion,
        0,
        r" rv[: ]([0-9.]+).*(?:g|cl)ecko/\d{8,10}",
    ),
    (Fragment::Vr, 2, r"Android( [.0-9]+)?; Mobile VR;| VR "),
    (Fragment::Chrome, 2, r"Chrome/[.0-9]*"),
    (Fragment::Mobile, 2, r"Mobile|eliboM"),
    (Fragment::Pad, 2, r"Pad/APad"),
    (
        Fragment::Tablet,
        2,
        r"Android( [.0-9]+)?; Tablet;|Tablet(?! PC)|.*\-tablet$|Opera Tablet",
    ),
    (
        Fragment::MobileForm,
        2,
        r"Android( [.0-9]+)?; Mobile;|.*\-mobile$",
    ),
    (Fragment::Touch, 2, r"Touch"),
    (Fragment::PuffinDesktop, 2, r"Puffin/(?:\d+[.\d]+)[LMW]D"),
    (Fragment::PuffinPhone, 2, r"Puffin/(?:\d+[.\d]+)[AIFLW]P"),
    (Fragment::PuffinTablet, 2, r"Puffin/(?:\d+[.\d]+)[AILW]T"),
    (Fragment::OperaTelevision, 2, r"Opera TV Store| OMI/"),
    (
        Fragment::Television,
        2,
        r"Andr0id|(?:Android(?: UHD)?|Google) TV|\(lite\) TV|BRAVIA|Firebolt| TV$",
    ),
    (Fragment::SmartTelevision, 2, r"SmartTV|Tizen.+ TV .+$"),
    (Fragment::TelevisionForm, 2, r"\(TV;"),
    (
        Fragment::Desktop,
        2,
        r"(?:Desktop|PC)(?: (x(?:32|64)|WOW64))?;",
    ),
];
