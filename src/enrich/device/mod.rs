pub(crate) mod hints;
pub(crate) mod matomo;
pub mod compile;
