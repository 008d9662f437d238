//! What is to be seen in a picture.

use super::{SIDE, random::Choose};
use image::Rgb;
use pleach_model::noise::Generator;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, ops::Range};

/// An enum of words: the list of all, and the word of each.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $(#[doc = concat!("\"", $word, "\".")] $(#[$inner])* $variant),* }

        impl $name {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// What captions call it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }
    };
}

words! {
    /// The outline of an object.
    Shape {
        Circle = "circle",
        Square = "square",
        Triangle = "triangle",
        Star = "star",
        Ring = "ring",
        Cross = "cross",
        Heart = "heart",
        Diamond = "diamond",
    }
}

words! {
    /// The colour of an object.
    Colour {
        Red = "red",
        Orange = "orange",
        Yellow = "yellow",
        Green = "green",
        Cyan = "cyan",
        Blue = "blue",
        Purple = "purple",
        Pink = "pink",
    }
}

words! {
    /// The one colour of everything that is not an object.
    Background { Black = "black", White = "white", Grey = "grey", Navy = "navy" }
}

words! {
    /// How a whole picture is drawn.
    Style {
        /// Plain areas of colour.
        Flat = "flat",
        /// Light dots on the colour.
        Dotted = "dotted",
        /// Slanted stripes of the colour and a darker tone of it.
        Striped = "striped",
        /// Coarse cells of slightly different shades.
        Pixelated = "pixelated",
        /// A bright core, and a halo around it.
        Glowing = "glowing",
        /// The contour alone.
        Outlined = "outlined",
    }
}

words! {
    /// Where in the picture an object is.
    Place {
        Left = "left",
        Right = "right",
        Top = "top",
        Bottom = "bottom",
        Middle = "middle",
        TopLeft = "top left",
        TopRight = "top right",
        BottomLeft = "bottom left",
        BottomRight = "bottom right",
    }
}

impl Colour {
    /// The colour itself: far from every other one and from every background.
    pub fn rgb(self) -> Rgb<u8> {
        Rgb(match self {
            Self::Red => [214, 28, 44],
            Self::Orange => [247, 124, 18],
            Self::Yellow => [252, 222, 38],
            Self::Green => [32, 170, 68],
            Self::Cyan => [36, 212, 226],
            Self::Blue => [44, 98, 245],
            Self::Purple => [152, 50, 205],
            Self::Pink => [252, 132, 196],
        })
    }
}

impl Background {
    /// The colour itself.
    pub fn rgb(self) -> Rgb<u8> {
        Rgb(match self {
            Self::Black => [10, 10, 12],
            Self::White => [250, 250, 248],
            Self::Grey => [112, 114, 118],
            Self::Navy => [16, 26, 84],
        })
    }
}

impl Place {
    /// Its column and row, each -1, 0 or 1.
    fn cell(self) -> (f32, f32) {
        match self {
            Self::Left => (-1.0, 0.0),
            Self::Right => (1.0, 0.0),
            Self::Top => (0.0, -1.0),
            Self::Bottom => (0.0, 1.0),
            Self::Middle => (0.0, 0.0),
            Self::TopLeft => (-1.0, -1.0),
            Self::TopRight => (1.0, -1.0),
            Self::BottomLeft => (-1.0, 1.0),
            Self::BottomRight => (1.0, 1.0),
        }
    }
}

/// A thing in a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Its outline.
    pub shape: Shape,
    /// Its colour.
    pub colour: Colour,
    /// Where it is, in words.
    pub place: Place,
    /// Pixels from the left edge to its centre.
    pub x: f32,
    /// Pixels from the top edge to its centre.
    pub y: f32,
    /// Radius in pixels of a circle that it fills and does not leave.
    pub radius: f32,
    /// Radians that it is turned by, clockwise.
    pub angle: f32,
}

/// What can differ between two scenes that are otherwise alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The style.
    Style,
    /// The shape of each object.
    Shapes,
    /// The colour of each object.
    Colours,
    /// The background.
    Background,
}

impl Change {
    /// All there are.
    pub const ALL: &[Self] = &[Self::Style, Self::Shapes, Self::Colours, Self::Background];
}

/// All that is to be seen in a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    /// How it is drawn.
    pub style: Style,
    /// What it is drawn on.
    pub background: Background,
    /// One to three objects that do not overlap.
    pub objects: Vec<Object>,
}

/// Ways to place two objects.
const PAIRS: [[Place; 2]; 4] = [
    [Place::Left, Place::Right],
    [Place::Top, Place::Bottom],
    [Place::TopLeft, Place::BottomRight],
    [Place::BottomLeft, Place::TopRight],
];

/// Ways to place three objects side by side, which leaves each the least room.
const ROWS: [[Place; 3]; 2] = [[Place::Left, Place::Middle, Place::Right], [Place::Top, Place::Middle, Place::Bottom]];

/// Other ways to place three objects.
const TRIPLES: [[Place; 3]; 6] = [
    [Place::TopLeft, Place::Middle, Place::BottomRight],
    [Place::BottomLeft, Place::Middle, Place::TopRight],
    [Place::TopLeft, Place::TopRight, Place::Bottom],
    [Place::Top, Place::BottomLeft, Place::BottomRight],
    [Place::Left, Place::TopRight, Place::BottomRight],
    [Place::TopLeft, Place::BottomLeft, Place::Right],
];

impl Scene {
    /// A scene at random: half of all have one object, three in ten have two, the others three.
    pub fn sample(generator: &mut Generator) -> Self {
        let count = [1, 1, 1, 1, 1, 2, 2, 2, 3, 3][generator.below(10)];
        Self::sample_of(count, generator)
    }

    /// A scene at random with `count` objects; less than one counts as one, more than three as three.
    pub fn sample_of(count: usize, generator: &mut Generator) -> Self {
        let style = generator.pick(Style::ALL);
        let background = generator.pick(Background::ALL);
        let objects = match count {
            0 | 1 => {
                // The middle more often than the other eight: it is where pictures of one thing have it.
                let place = if generator.chance(0.3) { Place::Middle } else { generator.pick(Place::ALL) };
                vec![Object::sample(place, 16.0..21.0, generator)]
            }
            2 => generator.pick(&PAIRS).map(|place| Object::sample(place, 11.0..14.0, generator)).into(),
            _ if generator.chance(0.3) => {
                generator.pick(&ROWS).map(|place| Object::sample(place, 8.8..9.6, generator)).into()
            }
            _ => generator.pick(&TRIPLES).map(|place| Object::sample(place, 9.5..11.0, generator)).into(),
        };
        Self { style, background, objects }
    }

    /// The same with a change, picked at random: what changes is never what it was.
    pub fn changed(&self, change: Change, generator: &mut Generator) -> Self {
        fn other<T: Copy + PartialEq>(all: &[T], than: T, generator: &mut Generator) -> T {
            let others: Vec<T> = all.iter().copied().filter(|&one| one != than).collect();
            generator.pick(&others)
        }
        let mut scene = self.clone();
        match change {
            Change::Style => scene.style = other(Style::ALL, self.style, generator),
            Change::Background => scene.background = other(Background::ALL, self.background, generator),
            Change::Shapes => {
                scene.objects.iter_mut().for_each(|one| one.shape = other(Shape::ALL, one.shape, generator));
            }
            Change::Colours => {
                scene.objects.iter_mut().for_each(|one| one.colour = other(Colour::ALL, one.colour, generator));
            }
        }
        scene
    }
}

impl Scene {
    /// What a classifier should find in a picture of it: style, shapes and colours, in their words, each once.
    pub fn labels(&self) -> BTreeMap<String, Vec<String>> {
        fn shown<T: Copy + PartialEq>(
            all: &[T],
            there: impl Fn(T) -> bool,
            word: fn(T) -> &'static str,
        ) -> Vec<String> {
            all.iter().filter(|&&one| there(one)).map(|&one| word(one).to_owned()).collect()
        }
        let shapes = shown(Shape::ALL, |shape| self.objects.iter().any(|object| object.shape == shape), Shape::word);
        let colours =
            shown(Colour::ALL, |colour| self.objects.iter().any(|object| object.colour == colour), Colour::word);
        [("style", vec![self.style.word().to_owned()]), ("shape", shapes), ("colour", colours)]
            .into_iter()
            .map(|(head, words)| (head.to_owned(), words))
            .collect()
    }
}

impl Object {
    fn sample(place: Place, radii: Range<f32>, generator: &mut Generator) -> Self {
        let (shape, colour) = (generator.pick(Shape::ALL), generator.pick(Colour::ALL));
        let radius = generator.within(radii);
        let angle = generator.within(-0.2..0.2);
        let (column, row) = place.cell();
        // As far out as the radius allows, less up to two pixels; free to drift a little where nothing lies in the way.
        let half = SIDE as f32 / 2.0;
        let mut coordinate = |cell: f32| {
            let outermost = half - 1.0 - radius;
            half + if cell == 0.0 {
                generator.within(-1.0..1.0)
            } else {
                cell * (outermost - generator.within(0.0..1.0))
            }
        };
        let (x, y) = (coordinate(column), coordinate(row));
        Self { shape, colour, place, x, y, radius, angle }
    }
}
