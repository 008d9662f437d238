//! The commands of recipes and guides are run as they stand on the page, and links between pages lead somewhere.
//!
//! The commands want a Unix shell and the four programs, which `cargo test --workspace` builds; for this test alone `cargo build --workspace --bins`
//! does.

#[cfg(unix)]
mod instruments;
mod links;
#[cfg_attr(not(unix), allow(dead_code))]
mod page;
#[cfg(unix)]
mod sd21;
#[cfg(unix)]
#[path = "../../../hub/tests/server/mod.rs"]
#[allow(dead_code, reason = "the tests of the hub script more")]
mod server;
#[cfg(unix)]
mod world;
