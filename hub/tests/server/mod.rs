//! A Hugging Face server in a thread: what the tests do not script it answers as the real one does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use sha1::Sha1;
use sha2::{Digest, Sha256};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Where the bytes that are asked for begin.
    pub fn position(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// An answer; `cut` closes the connection after that many bytes of the body.
#[derive(Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub cut: Option<usize>,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn cut(mut self, after: usize) -> Self {
        self.cut = Some(after);
        self
    }

    /// These bytes from the position that is asked for on.
    pub fn bytes(body: &[u8], request: &Request) -> Self {
        match request.position() {
            Some(from) if from >= body.len() => Self::status(416),
            Some(from) => Self::status(206)
                .header("Content-Range", format!("bytes {from}-{}/{}", body.len() - 1, body.len()))
                .body(&body[from..]),
            None => Self::status(200).body(body),
        }
    }
}

type Handler = Box<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;

pub struct Server {
    pub address: String,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers with the handler.
    pub fn start(handler: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let (handler, requests): (Arc<Handler>, _) = (Arc::new(Box::new(handler)), log.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handler, requests) = (handler.clone(), requests.clone());
                thread::spawn(move || serve(stream, &handler, &requests));
            }
        });
        Self { address, log }
    }

    /// The requests so far, as `METHOD PATH`.
    pub fn log(&self) -> Vec<String> {
        self.requests().iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }
}

/// One request per connection. A client that goes away is no concern.
fn serve(stream: TcpStream, handler: &Handler, log: &Mutex<Vec<Request>>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
    let headers = headers.filter_map(|line| {
        line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    let request = Request { method, path, headers: headers.collect() };
    log.lock().unwrap().push(request.clone());
    let reply = handler(&request).unwrap_or_else(|| Reply::status(404));
    let mut head = format!("HTTP/1.1 {} Scripted\r\nConnection: close\r\n", reply.status);
    if !reply.headers.iter().any(|(name, _)| name == "Content-Length") {
        head += &format!("Content-Length: {}\r\n", reply.body.len());
    }
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = stream;
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    if request.method != "HEAD" {
        stream.write_all(&reply.body[..reply.cut.unwrap_or(reply.body.len())]).ok()?;
    }
    Some(())
}

/// A repository of `org/name`; `.safetensors` files are LFS files on another server.
#[derive(Clone)]
pub struct Repository {
    pub files: BTreeMap<&'static str, Vec<u8>>,
    pub storage: String,
}

impl Repository {
    pub fn new(files: &[(&'static str, &[u8])], storage: &Server) -> Self {
        let files = files.iter().map(|(name, body)| (*name, body.to_vec())).collect();
        Self { files, storage: storage.address.clone() }
    }

    pub fn listing(&self) -> Reply {
        let siblings: Vec<_> = self.files.iter().map(|(name, body)| sibling(name, body)).collect();
        let body = serde_json::json!({"id": "org/name", "sha": COMMIT, "siblings": siblings}).to_string();
        Reply::status(200).header("Content-Type", "application/json").body(body)
    }

    /// What the real server would say.
    pub fn answer(&self, request: &Request) -> Option<Reply> {
        if request.path.starts_with("/api/models/org/name/revision/") {
            return Some(self.listing());
        }
        let file = request.path.strip_prefix(&format!("/org/name/resolve/{COMMIT}/"))?;
        let Some(body) = self.files.get(file) else {
            return Some(Reply::status(404).header("X-Error-Code", "EntryNotFound"));
        };
        if is_lfs(file) {
            let hash = sha256(body);
            return Some(
                Reply::status(302)
                    .header("Location", format!("{}/{hash}?signature=s", self.storage))
                    .header("ETag", "\"of-the-redirect\"")
                    .header("X-Linked-Etag", format!("\"{hash}\""))
                    .header("X-Linked-Size", body.len())
                    .header("X-Repo-Commit", COMMIT),
            );
        }
        let reply = Reply::bytes(body, request).header("X-Repo-Commit", COMMIT);
        Some(reply.header("ETag", format!("W/\"{}\"", git_sha1(body))))
    }
}

/// A storage server that has these files by their hash.
pub fn storage(files: &[&[u8]]) -> Server {
    let files: BTreeMap<String, Vec<u8>> = files.iter().map(|body| (sha256(body), body.to_vec())).collect();
    Server::start(move |request| {
        let hash = request.path.trim_start_matches('/').split('?').next()?;
        Some(Reply::bytes(files.get(hash)?, request))
    })
}

fn is_lfs(file: &str) -> bool {
    file.ends_with(".safetensors")
}

fn sibling(name: &str, body: &[u8]) -> serde_json::Value {
    let mut sibling = serde_json::json!({"rfilename": name, "size": body.len(), "blobId": git_sha1(body)});
    if is_lfs(name) {
        sibling["lfs"] = serde_json::json!({"sha256": sha256(body), "size": body.len(), "pointerSize": 134});
    }
    sibling
}

pub fn sha256(body: &[u8]) -> String {
    format!("{:x}", Sha256::digest(body))
}

pub fn git_sha1(body: &[u8]) -> String {
    format!("{:x}", Sha1::new().chain_update(format!("blob {}\0", body.len())).chain_update(body).finalize())
}
