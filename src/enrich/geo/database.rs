//! A database of places by address, in MaxMind's format: GeoLite2, GeoIP2, DB-IP, with countries or cities.
//!
//! It reads bytes that somebody else brings, keeps them in memory, and answers; what cannot be read of an address is as if
//! the address were not in it. Format: <https://maxmind.github.io/MaxMind-DB/>.

use std::borrow::Cow;
use std::net::IpAddr;

use maxminddb::Reader;
use serde::Deserialize;

use super::Place;

/// A database that can be asked.
#[derive(Debug)]
pub struct Places(Reader<Vec<u8>>);

/// The file is no database of places.
#[derive(Debug, thiserror::Error)]
pub enum BadDatabase {
    /// It is no database, or damaged.
    #[error(transparent)]
    Unreadable(#[from] maxminddb::MaxMindDbError),
    /// It is one of something else.
    #[error("it is a database of type {0}, not of cities or countries")]
    Type(String),
}

#[derive(Debug, Default, Deserialize)]
struct Row<'d> {
    #[serde(borrow, default)]
    country: Part<'d>,
    #[serde(borrow, default)]
    subdivisions: First<'d>,
    #[serde(borrow, default)]
    city: Part<'d>,
    #[serde(default)]
    location: Location,
}

#[derive(Debug, Default, Deserialize)]
struct Part<'d> {
    #[serde(borrow)]
    iso_code: Option<&'d str>,
    #[serde(borrow, default)]
    names: Names<'d>,
}

#[derive(Debug, Default, Deserialize)]
struct Names<'d> {
    #[serde(borrow)]
    en: Option<&'d str>,
}

#[derive(Debug, Default, Deserialize)]
struct Location {
    metro_code: Option<u16>,
}

/// The first of a list; the further ones are parts of it.
#[derive(Debug, Default)]
struct First<'d>(Part<'d>);

impl<'de: 'd, 'd> Deserialize<'de> for First<'d> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> serde::de::Visitor<'de> for List {
            type Value = First<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of subdivisions")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> Result<First<'de>, A::Error> {
                let first = list.next_element()?.unwrap_or_default();
                while list.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

impl Places {
    /// A database from the bytes of its file.
    ///
    /// # Errors
    /// It is none of places.
    pub fn read(bytes: Vec<u8>) -> Result<Self, BadDatabase> {
        let reader = Reader::from_source(bytes)?;
        let kind = &reader.metadata().database_type;
        let is_of_places = ["City", "Country", "Enterprise", "Location"]
            .iter()
            .any(|word| kind.contains(word));
        if !is_of_places {
            return Err(BadDatabase::Type(kind.clone()));
        }
        Ok(Self(reader))
    }

    /// Looks at every record, which takes seconds for a large one.
    ///
    /// # Errors
    /// It is damaged.
    pub fn verify(&self) -> Result<(), BadDatabase> {
        Ok(self.0.verify()?)
    }

    /// The place of an address.
    pub(super) fn place(&self, address: IpAddr) -> Option<Place<'_>> {
        let found = self.0.lookup(address.to_canonical()).ok()?;
        let row: Row<'_> = found.decode().ok().flatten()?;
        let region = row.subdivisions.0;
        Some(Place {
            country_code: row.country.iso_code.map(Cow::Borrowed),
            country_name: row.country.names.en.map(Cow::Borrowed),
            region_code: region.iso_code.map(Cow::Borrowed),
            region_name: region.names.en.map(Cow::Borrowed),
            city: row.city.names.en.map(Cow::Borrowed),
            metro_code: row
                .location
                .metro_code
                .map(|code| Cow::Owned(code.to_string())),
        })
    }
}
