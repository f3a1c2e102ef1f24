//! Matomo's fixtures.
