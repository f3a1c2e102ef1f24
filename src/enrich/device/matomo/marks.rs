//! Words of a User-Agent by which rules decide, beside the package's patterns. They are compiled with those, so that one look at a
//! User-Agent finds them all.
//!
//! In words, `#` is a digit, `$` the end of the text, `~` stands before what must not follow; `*` at the beginning lets a word begin within another.
//! Others begin where neither a letter, `_` nor `-` stands before.

/// What is said by one of some words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Arm,
    LoongArch,
    Mips,
    SuperH,
    Sparc,
    X64,
    X86,
    Broadcast,
    Notebook,
    Headset,
    Chrome,
    Mobile,
    Pad,
    Tablet,
    Phone,
    Touch,
    OperaTelevision,
    Television,
    SmartTelevision,
    TelevisionForm,
    Desktop,
}

/// All of them in order, and their words.
pub(crate) const MARKS: &[(Mark, &[&str])] = &[
    // What Apple and ARM call that architecture, and devices of Apple that have had no other.
    (
        Mark::Arm,
        &[
            "aarch64", "*arm64", "arm_", "arm;", "arm ", "arm)", "armv", "arme", "arm$",
            "Apple TV", "AppleTV", "watchOS", "Watch OS", "Watch1,",
        ],
    ),
    (Mark::LoongArch, &["loongarch64"]),
    (Mark::Mips, &["mips"]),
    (Mark::SuperH, &["sh4"]),
    (Mark::Sparc, &["sparc64"]),
    // WOW64 is a program of 32 bits on a Windows of 64.
    (
        Mark::X64,
        &[
            "*x86_64", "* x64", "*amd64", "Win64", "WOW64", "64-bit", "64bit",
        ],
    ),
    (Mark::X86, &["i#86", "i86", "x86", "*Win32"]),
    // Televisions by the standard of broadcasters: its name and version.
    (Mark::Broadcast, &["HbbTV/#.#", "SmartTvA/#.#"]),
    // Facebook's app says which model a computer is.
    (Mark::Notebook, &["FBMD/"]),
    // Firefox for headsets, and Chromium for them.
    (Mark::Headset, &["*; Mobile VR;", "* VR "]),
    (Mark::Chrome, &["Chrome/"]),
    // Chrome for phones; some proxies turn words round.
    (Mark::Mobile, &["Mobile", "eliboM"]),
    (Mark::Pad, &["Pad/APad"]),
    // Tablet PC is a part of Windows.
    (Mark::Tablet, &["Tablet~ PC", "*-tablet$"]),
    // Firefox for phones: `(Android 14; Mobile; rv:140.0)`.
    (
        Mark::Phone,
        &["Android; Mobile;", "*#; Mobile;", "*-mobile$"],
    ),
    (Mark::Touch, &["Touch"]),
    (Mark::OperaTelevision, &["Opera TV Store", "* OMI/"]),
    // Those that call themselves so, Sony's, and what those say that Android is in disguise of.
    (
        Mark::Television,
        &[
            "Andr0id",
            "Android TV",
            "Android UHD TV",
            "Google TV",
            "(lite) TV",
            "BRAVIA",
            "* TV$",
        ],
    ),
    (Mark::SmartTelevision, &["SmartTV"]),
    (Mark::TelevisionForm, &["(TV;"]),
    (
        Mark::Desktop,
        &["Desktop;", "Desktop x##;", "Desktop WOW64;", "PC;"],
    ),
];

/// The regular expression of words, for the compiler.
pub(crate) fn expression(words: &[&str]) -> String {
    let one = |word: &&str| {
        let (boundary, word) = match word.strip_prefix('*') {
            Some(word) => ("", word),
            None => ("(?<![A-Z_-])", *word),
        };
        let (word, not) = match word.split_once('~') {
            Some((word, not)) => (word, format!("(?!{not})")),
            None => (word, String::new()),
        };
        let (word, end) = match word.strip_suffix('$') {
            Some(word) => (word, "$"),
            None => (word, ""),
        };
        let literal = regex_syntax::escape(word).replace(r"\#", "[0-9]");
        format!("{boundary}{literal}{not}{end}")
    };
    words.iter().map(one).collect::<Vec<_>>().join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_in_the_order_of_their_names() {
        for (at, (mark, _)) in MARKS.iter().enumerate() {
            assert_eq!(*mark as usize, at, "{mark:?}");
        }
    }

    #[test]
    fn words_are_read_as_the_module_says() {
        assert_eq!(
            expression(&["a#.(", "*b~ c", "d$"]),
            r"(?<![A-Z_-])a[0-9]\.\(|b(?! c)|(?<![A-Z_-])d$"
        );
    }
}
