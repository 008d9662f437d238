//! The requests: what a repository holds, what a file is, and its bytes from some position on.

use std::io::Read;
use std::time::Duration;

use reqwest::blocking::{Client, Response};
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue, LOCATION, RANGE, RETRY_AFTER,
};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use crate::cache::{Entry, Tree, is_blob_name, is_commit, is_inside};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::id::Id;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_REDIRECTS: usize = 10;
/// More than the list of any repository of a model.
const MAX_LISTING: u64 = 64 << 20;

/// The files of a repository at a commit.
pub(crate) struct Listing {
    pub commit: String,
    pub files: Vec<String>,
    /// Absent if the server leaves sizes or hashes out.
    pub tree: Option<Tree>,
}

/// What a file is before its bytes come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub etag: String,
    pub size: Option<u64>,
}

#[derive(Deserialize)]
struct Info {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
    xet_hash: Option<String>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

impl Sibling {
    fn entry(self) -> Option<(String, Entry)> {
        let (lfs_sha256, lfs_size) = self.lfs.map(|lfs| (lfs.sha256, lfs.size)).unzip();
        let entry = Entry { size: self.size?, blob_id: self.blob_id?, lfs_sha256, lfs_size, xet_hash: self.xet_hash };
        Some((self.rfilename, entry))
    }
}

/// Speaks to one server about one repository.
pub(crate) struct Http<'a> {
    config: &'a Config,
    id: &'a Id,
    client: Client,
    endpoint: Url,
    authorization: Option<HeaderValue>,
}

impl<'a> Http<'a> {
    pub(crate) fn new(config: &'a Config, id: &'a Id) -> Result<Self> {
        let endpoint = Url::parse(&config.endpoint).map_err(|_| Error::Endpoint(config.endpoint.clone()))?;
        let authorization = match &config.token {
            None => None,
            Some(token) => {
                let value = HeaderValue::from_str(&format!("Bearer {}", token.secret));
                let mut value = value.map_err(|_| Error::Token(token.origin.clone()))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let mut builder = Client::builder()
            .user_agent(concat!("pleach/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]))
            .redirect(Policy::custom(within_server))
            .https_only(endpoint.scheme() == "https")
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(READ_TIMEOUT);
        if matches!(endpoint.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| network(&endpoint, error))?;
        Ok(Self { config, id, client, endpoint, authorization })
    }

    fn url(&self, segments: &[&str]) -> Result<Url> {
        let mut url = self.endpoint.clone();
        match url.path_segments_mut() {
            Ok(mut path) => path.pop_if_empty().extend(segments),
            Err(()) => return Err(Error::Endpoint(self.config.endpoint.clone())),
        };
        Ok(url)
    }

    fn file_url(&self, commit: &str, file: &str) -> Result<Url> {
        let segments: Vec<&str> = self.id.page_segments().chain(["resolve", commit]).chain(file.split('/')).collect();
        self.url(&segments)
    }

    /// Resolves the revision and lists its files.
    pub(crate) fn list(&self) -> Result<Listing> {
        let [organisation, name] = self.id.segments();
        let mut url = self.url(&["api", self.id.kind(), organisation, name, "revision", self.id.revision()])?;
        url.set_query(Some("blobs=true"));
        let response = self.send(Method::GET, &url, None, true)?;
        let mut body = Vec::new();
        response.take(MAX_LISTING).read_to_end(&mut body).map_err(|error| network(&url, error))?;
        let info: Info = serde_json::from_slice(&body)
            .map_err(|error| protocol(&url, format!("the list of files cannot be read: {error}")))?;
        if !is_commit(&info.sha) {
            return Err(protocol(&url, format!("`{}` is not a commit", info.sha)));
        }
        let files: Vec<String> = info.siblings.iter().map(|sibling| sibling.rfilename.clone()).collect();
        if let Some(file) = files.iter().find(|file| !is_inside(file)) {
            return Err(protocol(&url, format!("`{file}` would lie outside of the repository")));
        }
        let tree = info.siblings.into_iter().map(Sibling::entry).collect();
        Ok(Listing { commit: info.sha, files, tree })
    }

    /// What a file is. Large files are redirected to another server, and this one says beforehand what will come.
    pub(crate) fn metadata(&self, commit: &str, file: &str) -> Result<Metadata> {
        let url = self.file_url(commit, file)?;
        let response = self.send(Method::HEAD, &url, None, true)?;
        let headers = response.headers();
        if let Some(other) = text(headers, "X-Repo-Commit").filter(|other| *other != commit) {
            return Err(protocol(&url, format!("it answers for commit {other}")));
        }
        let etag = text(headers, "X-Linked-Etag").or_else(|| text(headers, ETAG.as_str())).map(normalise);
        let etag =
            etag.ok_or_else(|| protocol(&url, "there is no etag, so this is no Hugging Face server".to_owned()))?;
        if !is_blob_name(etag) {
            return Err(protocol(&url, format!("the etag `{etag}` cannot name a file")));
        }
        let own_length = || text(headers, CONTENT_LENGTH.as_str()).filter(|_| response.status().is_success());
        let size = text(headers, "X-Linked-Size").or_else(own_length).and_then(|size| size.parse().ok());
        Ok(Metadata { etag: etag.to_owned(), size })
    }

    /// A file's bytes from a position on, and the position where they really begin.
    pub(crate) fn bytes(&self, commit: &str, file: &str, position: u64) -> Result<(Response, u64)> {
        let mut url = self.file_url(commit, file)?;
        let mut response = self.send(Method::GET, &url, Some(position), true)?;
        for _ in 0..MAX_REDIRECTS {
            if !response.status().is_redirection() {
                break;
            }
            let location = text(response.headers(), LOCATION.as_str());
            url = location
                .and_then(|location| response.url().join(location).ok())
                .ok_or_else(|| protocol(&url, "it redirects to nowhere".to_owned()))?;
            // The other server has its own permission in the address; the token is none of its business.
            response = self.send(Method::GET, &url, Some(position), false)?;
        }
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = text(response.headers(), "Content-Range").and_then(|range| range.strip_prefix("bytes "));
                let start = range.and_then(|range| range.split('-').next()).and_then(|start| start.parse().ok());
                match start == Some(position) {
                    true => Ok((response, position)),
                    false => Err(protocol(&url, format!("it was asked for bytes from {position} on and sends others"))),
                }
            }
            StatusCode::OK => Ok((response, 0)),
            // Nothing lies beyond what is here already: begin anew.
            StatusCode::RANGE_NOT_SATISFIABLE if position > 0 => self.bytes(commit, file, 0),
            status => Err(protocol(&url, format!("status {status} where a file was expected"))),
        }
    }

    fn send(&self, method: Method, url: &Url, position: Option<u64>, authorized: bool) -> Result<Response> {
        let mut request = self.client.request(method, url.clone());
        if let Some(authorization) = self.authorization.clone().filter(|_| authorized) {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(position) = position.filter(|position| *position > 0) {
            request = request.header(RANGE, format!("bytes={position}-"));
        }
        let response = request.send().map_err(|error| network(url, error.without_url()))?;
        match response.status() {
            status if status.is_success() || status.is_redirection() => Ok(response),
            StatusCode::RANGE_NOT_SATISFIABLE => Ok(response),
            _ => Err(self.refusal(url, &response, authorized)),
        }
    }

    /// What a status means, as `hf_raise_for_status` of huggingface_hub reads it.
    fn refusal(&self, url: &Url, response: &Response, authorized: bool) -> Error {
        let (id, endpoint) = (self.id.clone(), self.config.endpoint.clone());
        let headers = response.headers();
        let status = response.status();
        let said = text(headers, "X-Error-Message");
        let invalid_token = said == Some("Invalid credentials in Authorization header");
        let message = said.or_else(|| status.canonical_reason()).unwrap_or("no reason given").to_owned();
        if authorized {
            match (text(headers, "X-Error-Code"), status) {
                (Some("RevisionNotFound"), _) => return Error::RevisionNotFound { id },
                (Some("GatedRepo"), _) => {
                    let page = format!("{endpoint}/{}", id.page_segments().collect::<Vec<_>>().join("/"));
                    return Error::Gated { id, page, remedy: self.remedy("belong to the account that accepted them") };
                }
                (Some("EntryNotFound"), _) => {}
                (Some("RepoNotFound"), _) => return self.not_found(),
                (_, StatusCode::UNAUTHORIZED) => match &self.config.token {
                    Some(token) if invalid_token => {
                        return Error::TokenRefused { endpoint, origin: token.origin.clone() };
                    }
                    _ => return self.not_found(),
                },
                (_, StatusCode::FORBIDDEN) => return Error::Forbidden { id, endpoint, message },
                (_, StatusCode::NOT_FOUND) if url.path().contains(&format!("/api/{}/", self.id.kind())) => {
                    return self.not_found();
                }
                _ => {}
            }
        }
        let retry_after = text(headers, RETRY_AFTER.as_str()).and_then(|seconds| seconds.parse().ok());
        Error::Status { url: shown(url), status: status.as_u16(), message, retry_after }
    }

    fn not_found(&self) -> Error {
        let (id, endpoint) = (self.id.clone(), self.config.endpoint.clone());
        Error::RepositoryNotFound { id, endpoint, remedy: self.remedy("be allowed to read it") }
    }

    fn remedy(&self, must: &str) -> String {
        match &self.config.token {
            Some(token) => format!("the token of {} must {must}", token.origin),
            None => "set HF_TOKEN or run `hf auth login`".to_owned(),
        }
    }
}

/// Renamed repositories redirect within the server, which keeps the token; other redirects are looked at first.
fn within_server(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let same = attempt.previous().last().is_some_and(|previous| previous.origin() == attempt.url().origin());
    if same && attempt.previous().len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.stop() }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `W/"abc"` as `abc`.
fn normalise(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

/// Without the query, which may carry a permission.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}

pub(crate) fn network(url: &Url, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Network { url: shown(url), source: error.into() }
}

fn protocol(url: &Url, problem: String) -> Error {
    Error::Protocol { url: shown(url), problem }
}
