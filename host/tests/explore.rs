//! `myopia explore`: the page as a file and on a port of this machine.

mod shared;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::Duration;

use shared::{contents, ended, names, program, refuses_in_a_sentence, succeeds};

/// The address that a running `myopia explore` prints.
fn address(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("http://").and_then(|line| line.strip_suffix('/'));
    address.unwrap_or_else(|| panic!("no address: {line:?}")).to_owned()
}

#[test]
fn the_page_is_written_as_one_file_and_never_over_another() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("page");
    let said = succeeds(program("explore --out").arg(&folder));
    assert!(said.contains("index.html"), "{said}");
    assert_eq!(names(&folder), ["index.html"]);
    let page = contents(&folder).into_iter().find(|(name, _)| name == "index.html").unwrap().1;
    let text = String::from_utf8(page).unwrap();
    assert!(text.len() < 2_000_000, "{} bytes", text.len());
    // Nothing is asked of a network: no address in a tag, and a policy that forbids the rest.
    for outward in ["src=\"", "href=\"http", "@import", "url(http"] {
        assert!(!text.contains(outward), "{outward}");
    }
    assert!(text.contains("default-src 'none'"));
    refuses_in_a_sentence(program("explore --out").arg(&folder), 1, &["page"]);
    succeeds(program("explore --force --out").arg(&folder));
}

#[cfg(unix)]
#[test]
fn it_serves_until_ctrl_c() {
    let mut child = shared::hearing(program("explore --quiet")).spawn().unwrap();
    let address = address(&mut child);
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer:.80}");
    let page = answer.split_once("\r\n\r\n").unwrap().1;
    assert!(page == include_str!("../web/dist/index.html"), "the page as it was built");

    let mut stream = TcpStream::connect(&address).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer:.80}");
    // One address alone: where it would also hear others, it would hear this one.
    let port = address.rsplit_once(':').unwrap().1;
    let elsewhere = TcpStream::connect(format!("127.0.0.2:{port}"));
    assert!(elsewhere.is_err(), "it listens on 127.0.0.1 alone");

    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let (code, said) = ended(child, Duration::from_secs(10), "it did not end");
    assert_eq!(code, Some(0), "{said}");
}

/// Connections beyond what the system allows wait until others end; the server goes on.
#[cfg(unix)]
#[test]
fn idle_connections_do_not_end_it() {
    let command = shared::limited("ulimit -n 20", "explore --quiet");
    let mut child = shared::hearing(command).spawn().unwrap();
    let address = address(&mut child);
    let idle: Vec<_> = (0..120).map(|_| TcpStream::connect(&address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(500));
    drop(idle);
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer:.80}");
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let (code, said) = ended(child, Duration::from_secs(10), "it did not end");
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    refuses_in_a_sentence(&mut program("explore --port 4000 --out x"), 2, &["--out", "--port"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    refuses_in_a_sentence(&mut program(&format!("explore --port {port}")), 1, &["--port"]);
}
