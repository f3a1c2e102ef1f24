//! Hashes of cache keys: XXH3 with a seed of the process's own, so that nobody can make keys that collide.

use std::hash::{BuildHasher, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Makes hashers of one seed.
#[derive(Clone, Debug)]
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new() -> Self {
        Self(std::collections::hash_map::RandomState::new().hash_one(0_u8))
    }

    /// The hash of these bytes.
    pub(crate) fn of(&self, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.0)
    }
}

impl BuildHasher for Seeded {
    type Hasher = OneByOne;

    fn build_hasher(&self) -> OneByOne {
        OneByOne(self.0)
    }
}

/// Hashes each value that it is given with the hash of those before.
#[derive(Debug)]
pub(crate) struct OneByOne(u64);

impl Hasher for OneByOne {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    // What ends a text adds nothing.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
