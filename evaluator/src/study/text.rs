//! Texts in which names in braces stand for something.

use super::{Error, Result, Step};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A text with everything put in. It is written in two ways: for a command, with paths; and for a key, with hashes in their place.
#[derive(Clone, Debug, Default)]
pub struct Text {
    pieces: Vec<Piece>,
    /// Steps that it names.
    pub needs: Vec<Arc<Step>>,
    /// Files and folders that it names, by what stands for them in a key.
    pub inputs: BTreeMap<String, PathBuf>,
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    /// A path, and what stands for it in a key.
    Path(PathBuf, String),
    Out,
    Recipe,
}

/// Names that only the command itself knows.
pub const OUT: &str = "out";
/// The recipe's file.
pub const RECIPE: &str = "recipe";

impl Text {
    /// Text as it is.
    pub fn literal(text: impl Into<String>) -> Self {
        Self { pieces: vec![Piece::Literal(text.into())], ..Self::default() }
    }

    /// An input: a file or folder of this hash.
    pub fn input(path: PathBuf, hash: &str) -> Self {
        let symbol = format!("input:{hash}");
        Self {
            pieces: vec![Piece::Path(path.clone(), symbol.clone())],
            inputs: [(symbol, path)].into(),
            ..Self::default()
        }
    }

    /// The folder of a step.
    pub fn step(step: &Arc<Step>, out: PathBuf) -> Self {
        let symbol = format!("step:{}", step.key);
        Self { pieces: vec![Piece::Path(out, symbol)], needs: vec![step.clone()], ..Self::default() }
    }

    /// This, and something after it.
    #[must_use]
    pub fn then(mut self, text: &str) -> Self {
        self.pieces.push(Piece::Literal(text.to_owned()));
        self
    }

    /// What decides: hashes in place of paths.
    pub fn symbolic(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Path(_, symbol) => symbol.clone(),
            Piece::Out => format!("{{{OUT}}}"),
            Piece::Recipe => format!("{{{RECIPE}}}"),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// What a command gets whose folders are these.
    pub fn actual(&self, out: &Path, recipe: &Path) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Path(path, _) => path.display().to_string(),
            Piece::Out => out.display().to_string(),
            Piece::Recipe => recipe.display().to_string(),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// Whether it names the folder that a command has to make.
    pub fn has_out(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Out))
    }

    /// Whether it names a recipe's file.
    pub fn has_recipe(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Recipe))
    }

    fn extend(&mut self, other: &Self) {
        self.pieces.extend(other.pieces.iter().cloned());
        self.needs.extend(other.needs.iter().cloned());
        self.inputs.extend(other.inputs.clone());
    }
}

/// What names stand for.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    names: BTreeMap<String, Text>,
    own: bool,
}

impl Scope {
    /// Lets a name stand for something, instead of what it stood for.
    pub fn set(&mut self, name: &str, text: Text) {
        self.names.insert(name.to_owned(), text);
    }

    /// The same for a command, which has a folder to make.
    #[must_use]
    pub fn of_command(&self) -> Self {
        Self { own: true, ..self.clone() }
    }

    /// Puts in what names stand for.
    ///
    /// # Errors
    /// [`Error::Placeholder`] for a name that stands for nothing; `at` says where.
    pub fn expand(&self, template: &str, at: &str) -> Result<Text> {
        let mut text = Text::default();
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            let (before, from) = rest.split_at(open);
            let name = from[1..].split('}').next().filter(|name| is_name(name) && from.len() > name.len() + 1);
            let Some(name) = name else {
                text.pieces.push(Piece::Literal(format!("{before}{{")));
                rest = &from[1..];
                continue;
            };
            text.pieces.push(Piece::Literal(before.to_owned()));
            match self.names.get(name) {
                Some(known) => text.extend(known),
                None if self.own && name == OUT => text.pieces.push(Piece::Out),
                None if self.own && name == RECIPE => text.pieces.push(Piece::Recipe),
                None => return Err(self.unknown(name, at)),
            }
            rest = &from[name.len() + 2..];
        }
        text.pieces.push(Piece::Literal(rest.to_owned()));
        Ok(text)
    }

    fn unknown(&self, name: &str, at: &str) -> Error {
        let own = if self.own { &[OUT, RECIPE][..] } else { &[] };
        let known = self.names.keys().map(String::as_str).chain(own.iter().copied()).collect::<Vec<_>>().join(", ");
        Error::Placeholder { at: at.to_owned(), name: name.to_owned(), known }
    }
}

/// Whether a text can be a name: a lower-case letter, then letters, digits, dashes and underscores.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        let mut scope = Scope::default();
        scope.set("data", Text::input("/somewhere/data".into(), "ab12"));
        scope.set("seed", Text::literal("3"));
        scope
    }

    #[test]
    fn names_are_paths_for_commands_and_hashes_for_keys() {
        let text = scope().of_command().expand("--set data={data}/x,seed={seed},to={out}", "here").unwrap();
        assert_eq!(text.symbolic(), "--set data=input:ab12/x,seed=3,to={out}");
        assert_eq!(text.actual(Path::new("/o"), Path::new("/r")), "--set data=/somewhere/data/x,seed=3,to=/o");
        assert!(text.has_out() && !text.has_recipe());
        assert_eq!(text.inputs.len(), 1);
    }

    #[test]
    fn braces_around_other_things_stay() {
        for text in ["[{targets = [\"a\"]}]", "{", "}", "{}", "{ seed }", "{Seed}", "a{seed", "{{x = 1}}"] {
            assert_eq!(scope().expand(text, "here").unwrap().symbolic(), text);
        }
        assert_eq!(scope().expand("{{seed}}", "here").unwrap().symbolic(), "{3}");
    }

    #[test]
    fn a_name_that_stands_for_nothing_is_an_error() {
        let error = scope().expand("x {sead}", "method \"m\"").unwrap_err();
        assert_eq!(
            error.to_string(),
            "method \"m\": {sead} stands for nothing; what stands for something here: data, seed"
        );
        assert!(matches!(scope().expand("{out}", "here"), Err(Error::Placeholder { .. })));
    }
}
