//! Which lists of patterns and which tables of texts there are. The compiler fills them, the detector asks them.

/// A list of patterns, in the order in which the file holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// Texts: name, category.
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
    /// By [`super::marks::Mark`].
    Marks,
}

/// How many lists.
pub(crate) const LISTS: usize = List::Marks as usize + 1;

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
    /// Id of an app, name.
    AppIds,
    /// Id of a browser, name.
    BrowserIds,
}

/// How many tables.
pub(crate) const TABLES: usize = Table::BrowserIds as usize + 1;

/// Columns of every table; what is not used is none.
pub(crate) const COLUMNS: usize = 4;
