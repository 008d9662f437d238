//! How providers are written: `qnn:soc_model=57,htp_arch=75,cpu`.
//!
//! Commas divide. A part that is `KEY=VALUE` is an option of the provider before it, every other part begins the next provider; a
//! provider with options has a colon after its name. A comma within a value is written twice, so paths need no other care.

use super::{LIBRARY_OPTION, Provider, ProviderError, ProviderKind};
use std::{fmt, str::FromStr};

impl FromStr for ProviderKind {
    type Err = ProviderError;

    fn from_str(name: &str) -> Result<Self, ProviderError> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| ProviderError::Unknown { name: name.to_owned() })
    }
}

impl Provider {
    /// Reads a list of providers with their options: `cuda,cpu`, or `qnn:soc_model=57,htp_arch=75,cpu`. A part that is
    /// `KEY=VALUE` is an option of the provider before it; a comma within a value is written twice.
    ///
    /// # Errors
    /// [`ProviderError::Unknown`], [`ProviderError::Syntax`], and those of [`Provider::with`].
    pub fn list(text: &str) -> Result<Vec<Self>, ProviderError> {
        let mut list: Vec<(Self, bool)> = Vec::new();
        for part in parts(text) {
            let syntax = || ProviderError::Syntax { text: part.clone() };
            let option = match part.find([':', '=']) {
                Some(at) if part.get(at..).is_some_and(|rest| rest.starts_with('=')) => &part,
                mark => {
                    let (name, option) = match mark {
                        Some(_) => part.split_once(':').map_or((&*part, None), |(name, option)| (name, Some(option))),
                        None => (&*part, None),
                    };
                    list.push((Self::new(name.parse()?), option.is_some()));
                    let Some(option) = option else { continue };
                    option
                }
            };
            let Some((provider, true)) = list.pop() else { return Err(syntax()) };
            let (key, value) = option.split_once('=').ok_or_else(syntax)?;
            list.push((provider.with(key, value)?, true));
        }
        Ok(list.into_iter().map(|(provider, _)| provider).collect())
    }
}

/// What stands between single commas, with double ones made single.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == ',' && letters.next_if_eq(&',').is_none() {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts
}

impl fmt::Display for Provider {
    /// As [`Provider::list`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        let dylib = self.dylib.iter().map(|path| (LIBRARY_OPTION, path.to_string_lossy()));
        let options = self.options.iter().map(|(key, value)| (key.as_str(), value.into()));
        for (i, (key, value)) in dylib.chain(options).enumerate() {
            write!(f, "{}{key}={}", if i == 0 { ':' } else { ',' }, value.replace(',', ",,"))?;
        }
        Ok(())
    }
}
