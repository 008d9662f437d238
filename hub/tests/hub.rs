//! A hub against a server in the same process: everything that happens between an id and its files.

mod server;

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pleach_hub::{Config, Error, Hub, Id, Token};
use server::{COMMIT, Reply, Repository, Request, Server, git_sha1, sha256, storage};
use tempfile::TempDir;

const CONFIG: &[u8] = b"{\"sample_size\": 64}\n";
const PICKLE: &[u8] = b"\x80\x04 never fetched";

fn weights() -> Vec<u8> {
    (0..3_000_000u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn repository(storage: &Server) -> Repository {
    let weights = weights();
    let files: [(&str, &[u8]); 4] = [
        ("model_index.json", b"{}"),
        ("unet/config.json", CONFIG),
        ("unet/diffusion_pytorch_model.bin", PICKLE),
        ("unet/diffusion_pytorch_model.safetensors", &weights),
    ];
    Repository::new(&files, storage)
}

const WEIGHTS: &str = "unet/diffusion_pytorch_model.safetensors";

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn config(server: &str, cache: &Path) -> Config {
    Config { cache: cache.to_owned(), endpoint: server.to_owned(), token: None, offline: false }
}

fn hub(config: Config) -> Hub {
    Hub::new(config).with_patience(3, Duration::from_millis(1))
}

fn with_token(config: Config) -> Config {
    Config { token: Some(Token { secret: "hf_secret".to_owned(), origin: "HF_TOKEN".to_owned() }), ..config }
}

/// A server of `org/name`, whose storage is another server, and an empty cache.
struct World {
    storage: Server,
    server: Server,
    cache: TempDir,
}

impl World {
    fn new() -> Self {
        Self::with_storage(storage(&[&weights()]))
    }

    fn with_storage(storage: Server) -> Self {
        let repository = repository(&storage);
        let server = Server::start(move |request| repository.answer(request));
        Self { storage, server, cache: tempfile::tempdir().unwrap() }
    }

    fn config(&self) -> Config {
        config(&self.server.address, self.cache.path())
    }

    fn root(&self) -> std::path::PathBuf {
        self.cache.path().join("models--org--name")
    }

    fn blobs(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root().join("blobs")).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A server that answers everything with one reply, and what a hub makes of it.
fn refused(reply: Reply, token: bool) -> (String, Error) {
    let server = Server::start(move |_| Some(reply.clone()));
    let cache = tempfile::tempdir().unwrap();
    let config = config(&server.address, cache.path());
    let config = if token { with_token(config) } else { config };
    let error = hub(config).resolve(&id("org/name"), &["*"], &()).unwrap_err();
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0, "nothing is written");
    (error.to_string().replace(&server.address, "SERVER"), error)
}

#[test]
fn a_fresh_download_has_the_layout_of_the_cache() {
    let world = World::new();
    let seen = Mutex::new(Vec::new());
    let progress =
        |file: &str, position: u64, total: u64| seen.lock().unwrap().push((file.to_owned(), position, total));
    let snapshot = hub(world.config()).resolve(&id("org/name"), &["*"], &progress).unwrap();

    assert_eq!((snapshot.commit.as_str(), &snapshot.id), (COMMIT, &id("org/name")));
    assert_eq!(snapshot.folder, world.root().join("snapshots").join(COMMIT));
    assert_eq!(snapshot.files, ["model_index.json", "unet/config.json", WEIGHTS]);
    assert_eq!(fs::read(snapshot.folder.join(WEIGHTS)).unwrap(), weights());
    assert_eq!(fs::read(snapshot.folder.join("unet/config.json")).unwrap(), CONFIG);
    assert!(!snapshot.folder.join("unet/diffusion_pytorch_model.bin").exists());
    assert_eq!(fs::read_to_string(world.root().join("refs/main")).unwrap(), COMMIT);
    let mut blobs = vec![sha256(&weights()), git_sha1(CONFIG), git_sha1(b"{}")];
    blobs.sort();
    assert_eq!(world.blobs(), blobs);
    #[cfg(unix)]
    assert_eq!(
        fs::read_link(snapshot.folder.join(WEIGHTS)).unwrap(),
        Path::new("../../../blobs").join(sha256(&weights()))
    );
    let total = weights().len() as u64;
    let seen = seen.into_inner().unwrap();
    let of_weights: Vec<_> = seen.iter().filter(|(file, ..)| file == WEIGHTS).collect();
    assert_eq!(of_weights.first().unwrap().1, 0);
    assert_eq!((of_weights.last().unwrap().1, of_weights.last().unwrap().2), (total, total));
    assert!(of_weights.is_sorted_by_key(|(_, position, _)| position));

    // Again: the revision is looked up, nothing is fetched. By its commit: nobody is asked.
    let before = world.server.log().len();
    assert_eq!(hub(world.config()).resolve(&id("org/name"), &["*"], &()).unwrap(), snapshot);
    assert_eq!(world.server.log()[before..], ["GET /api/models/org/name/revision/main?blobs=true"]);
    let pinned = hub(world.config()).resolve(&id(&format!("org/name@{COMMIT}")), &["*"], &()).unwrap();
    assert_eq!(pinned.folder, snapshot.folder);
    assert_eq!(world.server.log().len(), before + 1);
}

#[test]
fn the_token_stays_with_the_server_that_it_is_for() {
    let world = World::new();
    hub(with_token(world.config())).resolve(&id("org/name"), &[WEIGHTS], &()).unwrap();
    assert!(world.server.requests().iter().all(|request| request.header("authorization") == Some("Bearer hf_secret")));
    let requests = world.storage.requests();
    assert_eq!(world.storage.log(), [format!("GET /{}?signature=s", sha256(&weights()))]);
    assert!(requests.iter().all(|request| request.header("authorization").is_none()));
    assert!(requests.iter().all(|request| request.header("user-agent").unwrap().starts_with("pleach/")));
}

#[test]
fn a_renamed_repository_is_followed() {
    let storage = storage(&[&weights()]);
    let repository = repository(&storage);
    let server = Server::start(move |request| match request.path.contains("old/place") {
        true => Some(Reply::status(307).header("Location", request.path.replace("old/place", "org/name"))),
        false => repository.answer(request),
    });
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(with_token(config(&server.address, cache.path())));
    let snapshot = hub.resolve(&id("old/place"), &["*"], &()).unwrap();
    assert_eq!(fs::read(snapshot.folder.join(WEIGHTS)).unwrap(), weights());
    assert!(server.requests().iter().all(|request| request.header("authorization").is_some()));
}

#[test]
fn revisions_are_one_part_of_the_address() {
    let world = World::new();
    hub(world.config()).resolve(&id("org/name@refs/pr/1"), &["*.json"], &()).unwrap();
    assert_eq!(world.server.log()[0], "GET /api/models/org/name/revision/refs%2Fpr%2F1?blobs=true");
    assert_eq!(fs::read_to_string(world.root().join("refs/refs/pr/1")).unwrap(), COMMIT);
}

#[test]
fn a_cut_download_goes_on_where_it_ended() {
    let body = weights();
    let storage = Server::start(move |request| {
        let reply = Reply::bytes(&body, request);
        Some(if request.position().unwrap_or(0) < 2_000_000 { reply.cut(1_200_000) } else { reply })
    });
    let world = World::with_storage(storage);
    let snapshot = hub(world.config()).resolve(&id("org/name"), &[WEIGHTS], &()).unwrap();
    assert_eq!(fs::read(snapshot.folder.join(WEIGHTS)).unwrap(), weights());
    let positions: Vec<_> = world.storage.requests().iter().map(server::Request::position).collect();
    assert_eq!(positions, [None, Some(1_200_000), Some(2_400_000)]);
}

#[test]
fn a_download_that_another_run_began_goes_on() {
    for (there, asked) in [(1_000_000, vec![Some(1_000_000)]), (3_000_000, vec![])] {
        let world = World::new();
        fs::create_dir_all(world.root().join("blobs")).unwrap();
        let partial = world.root().join("blobs").join(format!("{}.incomplete", sha256(&weights())));
        fs::write(&partial, &weights()[..there]).unwrap();
        let snapshot = hub(world.config()).resolve(&id("org/name"), &[WEIGHTS], &()).unwrap();
        assert_eq!(fs::read(snapshot.folder.join(WEIGHTS)).unwrap(), weights());
        let positions: Vec<_> = world.storage.requests().iter().map(server::Request::position).collect();
        assert_eq!(positions, asked);
        assert!(!partial.exists());
    }
}

#[test]
fn a_wrong_beginning_is_noticed_and_fetched_again() {
    for wrong in [vec![7; 1_000_000], vec![7; 3_000_000], vec![7; 4_000_000]] {
        let world = World::new();
        fs::create_dir_all(world.root().join("blobs")).unwrap();
        fs::write(world.root().join("blobs").join(format!("{}.incomplete", sha256(&weights()))), wrong).unwrap();
        let snapshot = hub(world.config()).resolve(&id("org/name"), &[WEIGHTS], &()).unwrap();
        assert_eq!(fs::read(snapshot.folder.join(WEIGHTS)).unwrap(), weights());
        assert_eq!(world.blobs(), [sha256(&weights())]);
    }
}

#[test]
fn a_server_without_ranges_sends_all_of_it_again() {
    let body = weights();
    let asked = AtomicUsize::new(0);
    let storage = Server::start(move |_| {
        let reply = Reply::status(200).body(body.clone());
        Some(if asked.fetch_add(1, Ordering::Relaxed) == 0 { reply.cut(1_500_000) } else { reply })
    });
    let world = World::with_storage(storage);
    let snapshot = hub(world.config()).resolve(&id("org/name"), &[WEIGHTS], &()).unwrap();
    assert_eq!(fs::read(snapshot.folder.join(WEIGHTS)).unwrap(), weights());
}

#[test]
fn a_line_that_stays_broken_is_an_error_and_keeps_what_came() {
    let body = weights();
    let storage = Server::start(move |request| match request.position() {
        None => Some(Reply::status(200).body(body.clone()).cut(500_000)),
        Some(_) => Some(Reply::status(503)),
    });
    let world = World::with_storage(storage);
    let error = hub(world.config()).resolve(&id("org/name"), &[WEIGHTS], &()).unwrap_err();
    assert!(matches!(error, Error::Status { status: 503, .. }), "{error}");
    assert!(!error.to_string().contains("signature"), "{error}");
    let partial = world.root().join("blobs").join(format!("{}.incomplete", sha256(&weights())));
    assert_eq!(fs::metadata(partial).unwrap().len(), 500_000);
    assert!(!world.root().join("snapshots").join(COMMIT).join(WEIGHTS).exists());
}

#[test]
fn bytes_with_another_hash_are_not_kept() {
    let mut wrong = weights();
    wrong[1_234_567] ^= 1;
    let got = sha256(&wrong);
    let world = World::with_storage(Server::start(move |request| Some(Reply::bytes(&wrong, request))));
    let error = hub(world.config()).resolve(&id("org/name"), &[WEIGHTS], &()).unwrap_err();
    let expected = sha256(&weights());
    assert_eq!(
        error.to_string(),
        format!("`{WEIGHTS}` is not what was announced: its sha256 is {got}, not {expected}; nothing of it was kept")
    );
    assert!(error.is_integrity());
    assert_eq!(world.blobs(), [""; 0]);
    assert!(!world.root().join("snapshots").join(COMMIT).join(WEIGHTS).exists());
}

#[test]
fn small_files_are_checked_against_the_id_that_git_gives_them() {
    let (etag, got) = (git_sha1(CONFIG), git_sha1(b"{\"sample_size\": 65}\n"));
    let storage = storage(&[]);
    let repository = repository(&storage);
    let server = Server::start(move |request| {
        let reply = repository.answer(request)?;
        let tampered = request.method == "GET" && request.path.ends_with("unet/config.json");
        Some(if tampered { reply.body("{\"sample_size\": 65}\n") } else { reply })
    });
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(config(&server.address, cache.path()));
    let error = hub.resolve(&id("org/name"), &["unet/config.json"], &()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "`unet/config.json` is not what was announced: its git sha1 is {got}, not {etag}; nothing of it was kept"
        )
    );
}

#[test]
fn more_bytes_than_announced_are_not_kept() {
    let mut longer = weights();
    longer.extend([0; 5]);
    let world = World::with_storage(Server::start(move |request| Some(Reply::bytes(&longer, request))));
    let error = hub(world.config()).resolve(&id("org/name"), &[WEIGHTS], &()).unwrap_err();
    assert_eq!(error.to_string(), format!("`{WEIGHTS}` has 3000005 bytes where 3000000 were announced"));
    let partial = world.root().join("blobs").join(format!("{}.incomplete", sha256(&weights())));
    assert_eq!(fs::metadata(partial).unwrap().len(), 0);
}

#[test]
fn a_busy_server_is_asked_again() {
    let storage = storage(&[&weights()]);
    let repository = repository(&storage);
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |request| match asked.fetch_add(1, Ordering::Relaxed) % 3 {
        0 => Some(Reply::status(503)),
        1 => Some(Reply::status(429).header("Retry-After", 0)),
        _ => repository.answer(request),
    });
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(config(&server.address, cache.path()));
    assert!(hub.resolve(&id("org/name"), &[WEIGHTS], &()).is_ok());
}

#[test]
fn refusals_say_what_to_do() {
    let unknown = Reply::status(401).header("X-Error-Code", "RepoNotFound");
    let (message, _) = refused(unknown.clone(), false);
    assert_eq!(
        message,
        "`org/name` is no folder here, and SERVER shows no such repository: check the name; \
         if it is private, set HF_TOKEN or run `hf auth login`"
    );
    let (message, _) = refused(unknown, true);
    assert_eq!(
        message,
        "`org/name` is no folder here, and SERVER shows no such repository: check the name; \
         if it is private, the token of HF_TOKEN must be allowed to read it"
    );
    let (message, _) = refused(Reply::status(401), false);
    assert!(message.ends_with("set HF_TOKEN or run `hf auth login`"), "{message}");
    let (_, error) = refused(Reply::status(404), false);
    assert!(matches!(error, Error::RepositoryNotFound { .. }));

    let invalid = Reply::status(401).header("X-Error-Message", "Invalid credentials in Authorization header");
    let (message, _) = refused(invalid, true);
    assert_eq!(message, "SERVER does not accept the token of HF_TOKEN: make a new one, or remove it");

    let gated = |status| Reply::status(status).header("X-Error-Code", "GatedRepo");
    let (message, _) = refused(gated(401), false);
    assert_eq!(
        message,
        "`org/name` is gated: accept its terms at SERVER/org/name, then set HF_TOKEN or run `hf auth login`"
    );
    let (message, _) = refused(gated(403), true);
    assert_eq!(
        message,
        "`org/name` is gated: accept its terms at SERVER/org/name, then the token of HF_TOKEN must belong to the account \
         that accepted them"
    );
    let (message, _) = refused(Reply::status(403).header("X-Error-Message", "Not from here"), true);
    assert_eq!(message, "SERVER refuses `org/name`: Not from here");
    let (message, _) = refused(Reply::status(404).header("X-Error-Code", "RevisionNotFound"), false);
    assert_eq!(message, "`org/name` has no revision `main`");
    let (message, _) = refused(Reply::status(418), false);
    assert_eq!(message, "SERVER/api/models/org/name/revision/main answers 418: I'm a teapot");
}

#[test]
fn answers_that_are_not_to_be_trusted_are_refused() {
    let json = |text: &str| Reply::status(200).body(text);
    let (message, _) = refused(json("<html>"), false);
    assert!(message.contains("the list of files cannot be read: expected value at line 1"), "{message}");
    let (message, _) = refused(json(r#"{"sha": "../../x", "siblings": []}"#), false);
    assert!(message.ends_with("`../../x` is not a commit"), "{message}");
    let evil = format!(r#"{{"sha": "{COMMIT}", "siblings": [{{"rfilename": "../../.bashrc.json"}}]}}"#);
    let (message, _) = refused(json(&evil), false);
    assert!(message.ends_with("`../../.bashrc.json` would lie outside of the repository"), "{message}");

    let storage = storage(&[]);
    for (name, value, expected) in [
        ("ETag", "\"../../refs/main\"", "the etag `../../refs/main` cannot name a file"),
        ("X-None", "", "there is no etag, so this is no Hugging Face server"),
        ("X-Repo-Commit", "other", "it answers for commit other"),
    ] {
        let repository = repository(&storage);
        let server = Server::start(move |request| match request.path.starts_with("/api") {
            true => repository.answer(request),
            false => Some(Reply::status(200).header(name, value)),
        });
        let cache = tempfile::tempdir().unwrap();
        let hub = hub(config(&server.address, cache.path()));
        let error = hub.resolve(&id("org/name"), &["model_index.json"], &()).unwrap_err();
        assert!(error.to_string().ends_with(expected), "{error}");
        assert!(!cache.path().join("models--org--name/blobs").exists());
    }
}

#[test]
fn files_that_the_repository_lacks_are_named() {
    let world = World::new();
    let error = hub(world.config()).resolve(&id("org/name"), &["*.json", "vae/config.json"], &()).unwrap_err();
    assert_eq!(error.to_string(), format!("`org/name` at commit {COMMIT} has no vae/config.json"));
    let error = hub(world.config()).resolve(&id("org/name"), &["*.onnx"], &()).unwrap_err();
    assert_eq!(error.to_string(), format!("`org/name` at commit {COMMIT} has no *.onnx"));
    let error = hub(world.config()).resolve(&id("org/name"), &["v2-1.ckpt"], &()).unwrap_err();
    assert!(matches!(error, Error::Refused(_)));
}

#[test]
fn offline_the_cache_answers_or_what_is_missing_is_named() {
    let world = World::new();
    let offline = || hub(Config { offline: true, ..world.config() });
    let cache = world.cache.path().display();

    let error = offline().resolve(&id("org/name"), &["*"], &()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "offline, and `org/name` is not in the cache {cache}: unset HF_HUB_OFFLINE once, or fetch it elsewhere"
        )
    );
    hub(world.config()).resolve(&id("org/name"), &["unet/config.json"], &()).unwrap();
    let asked = world.server.log().len();

    let snapshot = offline().resolve(&id("org/name"), &["unet/*.json"], &()).unwrap();
    assert_eq!((snapshot.commit.as_str(), snapshot.files.as_slice()), (COMMIT, &["unet/config.json".to_owned()][..]));
    let error = offline().resolve(&id("org/name"), &["unet/*"], &()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "offline, and {WEIGHTS} of `org/name` is not in the cache {cache}: \
             unset HF_HUB_OFFLINE once, or fetch it elsewhere"
        )
    );
    let error = offline().resolve(&id("org/name"), &["vae/config.json"], &()).unwrap_err();
    assert_eq!(error.to_string(), format!("`org/name` at commit {COMMIT} has no vae/config.json"));
    assert_eq!(world.server.log().len(), asked);
}

#[test]
fn what_an_older_python_left_is_found() {
    // No list of files then: what is there is all that can be told.
    let cache = tempfile::tempdir().unwrap();
    let root = cache.path().join("models--org--name");
    fs::create_dir_all(root.join("snapshots").join(COMMIT).join("unet")).unwrap();
    fs::create_dir_all(root.join("refs")).unwrap();
    fs::write(root.join("refs/main"), COMMIT).unwrap();
    fs::write(root.join("snapshots").join(COMMIT).join("unet/config.json"), CONFIG).unwrap();
    let offline = hub(Config { offline: true, ..config("http://127.0.0.1:1", cache.path()) });
    assert_eq!(offline.resolve(&id("org/name"), &["unet/*"], &()).unwrap().files, ["unet/config.json"]);
    let error = offline.resolve(&id("org/name"), &["unet/*", "model_index.json"], &()).unwrap_err();
    assert!(error.to_string().starts_with("offline, and model_index.json of `org/name`"), "{error}");
}

#[test]
fn without_a_connection_the_cache_answers() {
    let world = World::new();
    let fetched = hub(world.config()).resolve(&id("org/name"), &["*"], &()).unwrap();
    // Nothing listens on port 1.
    let unreachable = || hub(config("http://127.0.0.1:1", world.cache.path()));
    assert_eq!(unreachable().resolve(&id("org/name"), &["*"], &()).unwrap(), fetched);
    let error = unreachable().resolve(&id("org/other"), &["*"], &()).unwrap_err();
    assert_eq!(error.to_string(), "no connection to http://127.0.0.1:1/api/models/org/other/revision/main");
}

#[test]
fn several_at_once_fetch_each_file_once() {
    let world = World::new();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let snapshot = hub(world.config()).resolve(&id("org/name"), &["*"], &()).unwrap();
                assert_eq!(fs::read(snapshot.folder.join(WEIGHTS)).unwrap(), weights());
            });
        }
    });
    assert_eq!(world.storage.log().len(), 1);
    assert_eq!(world.blobs().len(), 3);
}

#[test]
fn a_blob_that_lost_its_end_is_fetched_again() {
    let world = World::new();
    hub(world.config()).resolve(&id("org/name"), &["*"], &()).unwrap();
    fs::write(world.root().join("blobs").join(sha256(&weights())), b"cut").unwrap();
    fs::remove_dir_all(world.root().join("snapshots")).unwrap();
    let snapshot = hub(world.config()).resolve(&id("org/name"), &["*"], &()).unwrap();
    assert_eq!(fs::read(snapshot.folder.join(WEIGHTS)).unwrap(), weights());
}

#[cfg(unix)]
#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let world = World::new();
    // A file where a folder should be, which not even root can write into.
    fs::write(world.root(), "").unwrap();
    let error = hub(world.config()).resolve(&id("org/name"), &["model_index.json"], &()).unwrap_err();
    assert!(matches!(error, Error::Cache { .. }), "{error}");
    let expected = format!("cannot make the folder {}", world.root().join("blobs").display());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_data_set_has_other_addresses_and_another_folder() {
    let storage = storage(&[]);
    let repository = Repository::new(&[("prompts.csv", b"prompt\na\n"), ("README.md", b"")], &storage);
    let server = Server::start(move |request| {
        let path = request.path.replace("/api/datasets/", "/api/models/").replacen("/datasets/org", "/org", 1);
        let of_datasets = request.path != path;
        let request = Request { method: request.method.clone(), path, headers: request.headers.clone() };
        repository.answer(&request).filter(|_| of_datasets)
    });
    let cache = tempfile::tempdir().unwrap();
    let id = id("org/name").into_dataset();
    let snapshot = hub(config(&server.address, cache.path())).resolve(&id, &["*.csv"], &()).unwrap();
    assert_eq!(snapshot.files, ["prompts.csv"]);
    assert_eq!(fs::read(snapshot.folder.join("prompts.csv")).unwrap(), b"prompt\na\n");
    assert!(snapshot.folder.starts_with(cache.path().join("datasets--org--name/snapshots")));

    let server = Server::start(|_| Some(Reply::status(403).header("X-Error-Code", "GatedRepo")));
    let error = hub(config(&server.address, cache.path())).resolve(&id, &["other.csv"], &()).unwrap_err();
    let page = format!("accept its terms at {}/datasets/org/name, then", server.address);
    assert!(error.to_string().contains(&page), "{error}");
}
