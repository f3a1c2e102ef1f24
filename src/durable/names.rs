//! What stands for the name of a destination where that would be too long, or is no name of a file.

use xxhash_rust::xxh3::xxh3_64;

/// The number for a name, the same in every version.
pub fn address_of(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

/// The number as files and folders have it: 16 hexadecimal digits.
pub fn file_stem_of(name: &str) -> String {
    format!("{:016x}", address_of(name))
}
