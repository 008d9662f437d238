//! What is drawn for calibration where the caller names nothing: everyday subjects in different styles.

/// Prompts.
pub(super) const USUAL: [&str; 8] = [
    "a photo of a cat on a wooden table",
    "a mountain lake at sunrise, wide angle photograph",
    "portrait of an old man, oil painting",
    "a red bicycle leaning against a brick wall",
    "a bowl of fruit, watercolour",
    "a city street at night in the rain",
    "a small house in a snowy forest, pencil drawing",
    "two children playing on a beach",
];
