//! Devices as rows have them.
