//! The protocols that come with the program.

/// Id and text of each.
pub(super) const ALL: [(&str, &str); 2] =
    [("i2p", include_str!("presets/i2p.toml")), ("small-world", include_str!("presets/small-world.toml"))];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;

    #[test]
    fn every_preset_is_a_protocol_of_its_name() {
        for (id, text) in ALL {
            assert_eq!(Protocol::parse(id, text).unwrap().id, id);
        }
    }
}
