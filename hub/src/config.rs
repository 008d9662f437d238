//! Where the cache lies, whom to ask, and with which token: the variables of `huggingface_hub`, with its precedence.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The Hugging Face hub itself.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// A secret and where it came from. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The secret.
    pub secret: String,
    /// The variable or file that held it.
    pub origin: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Token(of {})", self.origin)
    }
}

/// What a [`Hub`](crate::Hub) needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder that holds `models--org--name`.
    pub cache: PathBuf,
    /// The server, without a slash at its end.
    pub endpoint: String,
    /// Who asks.
    pub token: Option<Token>,
    /// Answer from the cache only.
    pub offline: bool,
}

impl Config {
    /// From `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`, `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH` and `HF_HUB_OFFLINE`.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let home = || set("HOME").or_else(|| set("USERPROFILE")).map(PathBuf::from);
        let path = |name: &str| set(name).map(|value| expand(&value, home()));
        let hugging_face = path("HF_HOME")
            .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| home().map(|home| home.join(".cache").join("huggingface")));
        let cache = path("HF_HUB_CACHE").or_else(|| hugging_face.as_ref().map(|folder| folder.join("hub")));
        let token_file = path("HF_TOKEN_PATH").or_else(|| hugging_face.map(|folder| folder.join("token")));
        let token = set("HF_TOKEN").map(|secret| Token { secret, origin: "HF_TOKEN".to_owned() });
        let flag = set("HF_HUB_OFFLINE").map(|value| value.to_ascii_uppercase());
        Ok(Self {
            cache: cache.ok_or(Error::NoCache)?,
            endpoint: endpoint(&set("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()))?,
            token: token.or_else(|| read_token(&token_file?)),
            offline: matches!(flag.as_deref(), Some("1" | "ON" | "YES" | "TRUE")),
        })
    }
}

/// `~` at the beginning, as Python's `expanduser` has it.
fn expand(path: &str, home: Option<PathBuf>) -> PathBuf {
    match (path.strip_prefix('~').map(|rest| rest.trim_start_matches('/')), home) {
        (Some(rest), Some(home)) if path == "~" || path.starts_with("~/") => home.join(rest),
        _ => path.into(),
    }
}

fn endpoint(text: &str) -> Result<String> {
    let url = reqwest::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.map(|_| text.trim_end_matches('/').to_owned()).ok_or_else(|| Error::Endpoint(text.to_owned()))
}

fn read_token(path: &Path) -> Option<Token> {
    let secret = std::fs::read_to_string(path).ok()?.trim().to_owned();
    (!secret.is_empty()).then(|| Token { secret, origin: path.display().to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<Config> {
        Config::from_variables(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_cache_is_where_python_has_it() {
        let cache = |variables: &[(&str, &str)]| config(variables).unwrap().cache;
        assert_eq!(cache(&[("HOME", "/h")]), Path::new("/h/.cache/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("HF_HOME", "~/f"), ("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Path::new("/h/f/hub"));
        assert_eq!(cache(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/f")]), Path::new("/c"));
        assert_eq!(cache(&[("HF_HOME", ""), ("HOME", "/h")]), Path::new("/h/.cache/huggingface/hub"));
        assert!(matches!(config(&[]), Err(Error::NoCache)));
    }

    #[test]
    fn the_token_of_the_variable_comes_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        std::fs::write(folder.path().join("token"), "from_file\n").unwrap();
        let from_file = config(&[("HF_HOME", home)]).unwrap().token.unwrap();
        assert_eq!(from_file.secret, "from_file");
        assert_eq!(from_file.origin, folder.path().join("token").display().to_string());
        let from_variable = config(&[("HF_HOME", home), ("HF_TOKEN", " secret\n")]).unwrap();
        assert_eq!(from_variable.token.as_ref().unwrap().secret, "secret");
        assert!(!format!("{from_variable:?}").contains("secret"));
        assert_eq!(config(&[("HF_HOME", "/none")]).unwrap().token, None);
        assert!(config(&[("HF_HOME", "/none"), ("HF_TOKEN_PATH", &from_file.origin)]).unwrap().token.is_some());
    }

    #[test]
    fn endpoint_and_offline() {
        let with = |name, value| config(&[("HOME", "/h"), (name, value)]);
        assert_eq!(config(&[("HOME", "/h")]).unwrap().endpoint, DEFAULT_ENDPOINT);
        assert_eq!(with("HF_ENDPOINT", "http://mirror:8080/hf/").unwrap().endpoint, "http://mirror:8080/hf");
        let error = with("HF_ENDPOINT", "mirror").unwrap_err();
        assert_eq!(error.to_string(), "HF_ENDPOINT is not an http or https address: `mirror`");
        for (value, offline) in [("1", true), ("true", true), ("YES", true), ("0", false), ("", false)] {
            assert_eq!(with("HF_HUB_OFFLINE", value).unwrap().offline, offline, "{value}");
        }
    }
}
