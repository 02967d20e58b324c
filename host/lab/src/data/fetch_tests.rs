//! Downloads from a server on this machine that behaves well, badly, or not at all.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::*;
use crate::data::idx::tests::{file as idx_file, gzip, images, labels};
use crate::data::mnist::Mnist;
use crate::data::mnist::tests::real_folder;
use crate::data::published::{TEST_IMAGES, TEST_LABELS};

/// What the server answers to a file's name.
#[derive(Clone)]
enum Answer {
    /// The file.
    Whole(Vec<u8>),
    /// The announced length of the file, but only its first half.
    Half(Vec<u8>),
    /// The file without an announced length.
    Unannounced(Vec<u8>),
    /// One byte after another, for ever.
    Dripping,
}

/// A server that answers one request per connection and stops when dropped.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(answers: &[(&str, Answer)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answers: HashMap<String, Answer> = answers
            .iter()
            .map(|(name, answer)| (format!("/mnist/{name}"), answer.clone()))
            .collect();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, stopping) = (Arc::clone(&requests), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    break;
                }
                // A client that hangs up early is part of some tests.
                let _ = connection.and_then(|stream| answer(stream, &answers, &seen));
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    fn mirror(&self) -> String {
        format!("http://{}/mnist", self.address)
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn answer(
    mut stream: TcpStream,
    answers: &HashMap<String, Answer>,
    seen: &Mutex<Vec<String>>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|l| !l.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default().to_string();
    seen.lock().unwrap().push(path.clone());
    let head = |length: &str| format!("HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n");
    let length = |body: &[u8]| head(&format!("Content-Length: {}\r\n", body.len()));
    match answers.get(&path) {
        None => stream
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        Some(Answer::Whole(body)) => {
            stream.write_all(length(body).as_bytes())?;
            stream.write_all(body)
        }
        Some(Answer::Half(body)) => {
            stream.write_all(length(body).as_bytes())?;
            stream.write_all(&body[..body.len() / 2])
        }
        Some(Answer::Unannounced(body)) => {
            stream.write_all(head("").as_bytes())?;
            stream.write_all(body)
        }
        Some(Answer::Dripping) => {
            stream.write_all(head("").as_bytes())?;
            loop {
                stream.write_all(&[0x1f])?;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

const IMAGES: &str = "t10k-images-idx3-ubyte.gz";
const LABELS: &str = "t10k-labels-idx1-ubyte.gz";

/// Two small files published for these tests alone, with the digests of `images(2)` and
/// `labels(&[3, 1])`.
fn files() -> [Published; 2] {
    let published = |bytes: &[u8], like: Published| Published {
        bytes: bytes.len() as u64,
        sha256: idx::decode(bytes, like.kind).unwrap().sha256.leak(),
        ..like
    };
    [published(&images(2), TEST_IMAGES), published(&labels(&[3, 1]), TEST_LABELS)]
}

fn good() -> Vec<(&'static str, Answer)> {
    vec![(IMAGES, Answer::Whole(gzip(&images(2)))), (LABELS, Answer::Whole(gzip(&labels(&[3, 1]))))]
}

/// Fetches the two files from these mirrors; the outcome and the notes, with `SERVER` for the
/// servers' addresses.
fn fetch(
    folder: &Path,
    mirrors: &[&Server],
    force: bool,
) -> (Result<Vec<Outcome>, String>, String) {
    let addresses: Vec<String> = mirrors.iter().map(|m| m.mirror()).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let request = Fetch { folder, mirror: None, force, progress: false };
    let mut notes = Vec::new();
    let outcome =
        request.run_for(&files(), &addresses, PACE, &mut |note| notes.push(note.to_string()));
    let plain = |text: String| {
        let text = addresses.iter().fold(text, |t, a| t.replace(a, "SERVER"));
        text.replace(&folder.display().to_string(), "DIR")
    };
    (outcome.map_err(|failure| plain(failure.to_string())), plain(notes.join("\n")))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn good_files_are_installed_once_and_then_kept() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("cache/mnist");
    let server = Server::start(&good());
    let paths = [folder.join(IMAGES), folder.join(LABELS)];
    let (outcome, notes) = fetch(&folder, &[&server], false);
    assert_eq!(outcome.unwrap(), paths.clone().map(Outcome::Installed));
    assert_eq!(notes, "");
    assert_eq!(names(&folder), [IMAGES, LABELS]);
    assert_eq!(fs::read(&paths[0]).unwrap(), gzip(&images(2)));
    assert_eq!(server.requests(), 2);

    let (outcome, _) = fetch(&folder, &[&server], false);
    assert_eq!(outcome.unwrap(), paths.map(Outcome::Kept));
    assert_eq!(server.requests(), 2, "a good file was asked for again");
}

#[test]
fn a_good_decompressed_file_is_kept_too() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("t10k-labels.idx1-ubyte");
    fs::write(&raw, labels(&[3, 1])).unwrap();
    let (outcome, _) = fetch(folder.path(), &[&Server::start(&good())], false);
    assert_eq!(outcome.unwrap()[1], Outcome::Kept(raw));
}

#[test]
fn a_length_that_was_not_announced_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let mut answers = good();
    answers[0].1 = Answer::Unannounced(gzip(&images(2)));
    let (outcome, _) = fetch(folder.path(), &[&Server::start(&answers)], false);
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn each_bad_answer_is_named_and_the_next_mirror_asked() {
    let mut flipped = gzip(&images(2));
    let crc = flipped.len() - 8;
    flipped[crc] ^= 1;
    let mut other = images(2);
    other[20] ^= 1;
    let larger = vec![0; images(2).len() + OVERHEAD as usize + 1];
    for (answer, said) in [
        (None, "was answered with HTTP status 404;"),
        (Some(Answer::Half(gzip(&images(2)))), "broke off after"),
        (Some(Answer::Whole(flipped)), "is damaged:"),
        (Some(Answer::Whole(gzip(&other))), "is not the published file (SHA-256"),
        (Some(Answer::Whole(images(2))), "is not a gzip file;"),
        (Some(Answer::Unannounced(larger)), "is larger than the published file;"),
        (
            Some(Answer::Whole(gzip(&idx_file(3, &[u32::MAX, 28, 28], &[])))),
            "announces 4294967295 items",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut answers = good();
        answers.remove(0);
        answers.extend(answer.map(|answer| (IMAGES, answer)));
        let bad = Server::start(&answers);
        let fine = Server::start(&good());

        let (outcome, notes) = fetch(folder.path(), &[&bad, &fine], false);
        assert_eq!(outcome.unwrap().len(), 2);
        assert!(notes.starts_with(&format!("SERVER/{IMAGES} {said}")), "{notes}");
        assert!(notes.ends_with("; asking SERVER"), "{notes}");
        assert_eq!(notes.lines().count(), 1);
        assert_eq!(names(folder.path()), [IMAGES, LABELS]);
        assert_eq!(bad.requests(), 1, "the mirror that failed is not asked first again");

        // With no other mirror the run fails, and nothing is left behind.
        let empty = tempfile::tempdir().unwrap();
        let (outcome, notes) = fetch(empty.path(), &[&bad], false);
        let sentence = outcome.unwrap_err();
        let said = said.trim_end_matches(';');
        assert!(sentence.starts_with(&format!("SERVER/{IMAGES} {said}")), "{sentence}");
        assert!(sentence.ends_with("name a mirror with --mirror"), "{sentence}");
        assert_eq!(notes, "");
        assert!(names(empty.path()).is_empty());
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let gone = Server::start(&[]);
    let mirror = gone.mirror();
    drop(gone);
    let fetch =
        Fetch { folder: folder.path(), mirror: Some(&mirror), force: false, progress: false };
    let notes = AtomicUsize::new(0);
    let failure = fetch.run(&mut |_| {
        notes.fetch_add(1, Ordering::SeqCst);
    });
    let sentence = failure.unwrap_err().to_string();
    assert!(sentence.contains("could not be downloaded"), "{sentence}");
    assert!(sentence.contains(&mirror), "{sentence}");
    assert_eq!(notes.into_inner(), 0, "--mirror leaves no other to ask");
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_damaged_file_is_replaced_but_a_well_formed_one_only_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(IMAGES);
    let server = Server::start(&good());
    fs::write(&path, &gzip(&images(2))[..50]).unwrap();
    let (outcome, _) = fetch(folder.path(), &[&server], false);
    assert_eq!(outcome.unwrap()[0], Outcome::Installed(path.clone()));

    let fashion = gzip(&images(1));
    fs::write(&path, &fashion).unwrap();
    let (outcome, _) = fetch(folder.path(), &[&server], false);
    assert_eq!(
        outcome.unwrap_err(),
        format!(
            "DIR/{IMAGES} is well-formed but not the published MNIST file; pass --force to replace it or fetch into \
             another folder"
        )
    );
    assert_eq!(fs::read(&path).unwrap(), fashion);
    let (outcome, _) = fetch(folder.path(), &[&server], true);
    assert_eq!(outcome.unwrap()[0], Outcome::Installed(path));
}

#[test]
fn a_folder_or_mirror_that_makes_no_sense_is_named() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "x").unwrap();
    let (outcome, _) = fetch(&file, &[&Server::start(&good())], false);
    let sentence = outcome.unwrap_err();
    assert!(sentence.starts_with("could not create the folder DIR"), "{sentence}");
    let fetch = Fetch {
        folder: root.path(),
        mirror: Some("example.org/mnist"),
        force: false,
        progress: false,
    };
    assert_eq!(
        fetch.run(&mut |_| {}).unwrap_err(),
        Failure::usage(
            "--mirror example.org/mnist is not an address; give one that begins with https:// or http://"
        )
    );
}

#[test]
fn the_published_files_come_through_a_mirror() {
    let Some(source) = real_folder() else { return };
    let answers = FILES.map(|file| {
        let raw = fs::read(file.find(&source).unwrap().unwrap()).unwrap();
        let archive = if idx::is_gzip(&raw) { raw } else { gzip(&raw) };
        (file.archive(), Answer::Whole(archive))
    });
    let answers: Vec<(&str, Answer)> =
        answers.iter().map(|(name, answer)| (name.as_str(), answer.clone())).collect();
    let server = Server::start(&answers);
    let folder = tempfile::tempdir().unwrap();
    let fetch = Fetch {
        folder: folder.path(),
        mirror: Some(&server.mirror()),
        force: false,
        progress: false,
    };
    fetch.run(&mut |note| panic!("{note}")).unwrap();
    let mnist = Mnist::load(folder.path()).unwrap();
    assert_eq!((mnist.train.len(), mnist.test.len()), (60_000, 10_000));
    assert_eq!(mnist.warnings, []);
}

#[test]
fn a_server_that_drips_is_given_up() {
    let server = Server::start(&[(IMAGES, Answer::Dripping)]);
    let mirror = server.mirror();
    let second = Duration::from_secs(1);
    for (pace, said) in [
        (Pace { window: second / 2, least: 1 << 10, overall: 99 * second }, "bytes came in"),
        (
            Pace { window: 99 * second, least: 1, overall: second / 2 },
            "it was not done after 0.5 s",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let fetch = Fetch { folder: folder.path(), mirror: None, force: false, progress: false };
        let began = Instant::now();
        let failure = fetch.run_for(&files(), &[&mirror], pace, &mut |_| {}).unwrap_err();
        assert!(began.elapsed() < 10 * second, "{:?}", began.elapsed());
        let sentence = failure.to_string();
        assert!(sentence.contains("comes too slowly") && sentence.contains(said), "{sentence}");
        assert!(names(folder.path()).is_empty());
    }
}

#[test]
fn a_bomb_is_stopped_at_the_published_size() {
    let most = images(2).len() as u64;
    // All that its header announces is there: a million images in some hundred kilobytes.
    let bomb = idx_file(3, &[5_000, 28, 28], &vec![0; 5_000 * 784]);
    let defect = idx::decode_up_to(&gzip(&bomb)[..], TEST_IMAGES.kind, most).unwrap_err();
    assert_eq!(
        defect.to_string(),
        format!("announces {} bytes where the published file has {most}", bomb.len())
    );
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&[(IMAGES, Answer::Whole(gzip(&bomb)))]);
    let (outcome, _) = fetch(folder.path(), &[&server], false);
    assert!(outcome.unwrap_err().contains("announces"));
}
