//! The architecture of the processor: hints say it (<https://wicg.github.io/ua-client-hints/#sec-ch-ua-arch>), or else the User-Agent.

use super::super::hints::Hints;
use super::Detector;
use super::marks::Mark;
use super::scan::Scan;

/// An architecture.
struct Architecture {
    /// As Matomo's fixtures name it.
    name: &'static str,
    /// A part of the hint; empty if that does not tell it.
    hint: &'static str,
    /// What says it in a User-Agent.
    mark: Mark,
}

/// All of them. Devices may say two: a phone's ARM within a Linux of x86, 64 bits besides 32. The first one counts.
const ARCHITECTURES: [Architecture; 7] = [
    Architecture {
        name: "ARM",
        hint: "arm",
        mark: Mark::Arm,
    },
    Architecture {
        name: "MIPS",
        hint: "mips",
        mark: Mark::Mips,
    },
    Architecture {
        name: "SuperH",
        hint: "sh4",
        mark: Mark::SuperH,
    },
    Architecture {
        name: "SPARC64",
        hint: "sparc64",
        mark: Mark::Sparc,
    },
    Architecture {
        name: "LoongArch64",
        hint: "loongarch64",
        mark: Mark::LoongArch,
    },
    Architecture {
        name: "x64",
        hint: "x64",
        mark: Mark::X64,
    },
    Architecture {
        name: "x86",
        hint: "x86",
        mark: Mark::X86,
    },
];

impl Detector {
    pub(super) fn processor(&self, scan: &Scan<'_>, hints: Option<&Hints>) -> &'static str {
        let hinted = hints.and_then(|hints| {
            let hint = hints.architecture.to_ascii_lowercase();
            // The hint of 64 bits is "x86" as well: those are told beside it.
            let hint = match hint.contains("x86") && hints.bitness == "64" {
                true => "x64",
                false => hint.as_str(),
            };
            ARCHITECTURES.iter().find(|known| hint.contains(known.hint))
        });
        let found = hinted.or_else(|| {
            let mut known = ARCHITECTURES.iter();
            known.find(|known| self.says(scan, known.mark))
        });
        found.map_or("", |known| known.name)
    }
}
