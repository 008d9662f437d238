//! The protocols that come with the program.

/// Id and text of each.
pub(super) const ALL: [(&str, &str); 12] = [
    ("i2p", include_str!("presets/i2p.toml")),
    ("i2p-paper", include_str!("presets/i2p-paper.toml")),
    ("conceptprune-2024", include_str!("presets/conceptprune-2024.toml")),
    ("ring-a-bell", include_str!("presets/ring-a-bell.toml")),
    ("mma", include_str!("presets/mma.toml")),
    ("unlearndiffatk-2024", include_str!("presets/unlearndiffatk-2024.toml")),
    ("rece-2024", include_str!("presets/rece-2024.toml")),
    ("safree-2025", include_str!("presets/safree-2025.toml")),
    ("style-conceptprune", include_str!("presets/style-conceptprune.toml")),
    ("coco-5k", include_str!("presets/coco-5k.toml")),
    ("small-world", include_str!("presets/small-world.toml")),
    ("small-world-suppressed", include_str!("presets/small-world-suppressed.toml")),
];
