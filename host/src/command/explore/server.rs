//! The explorer's server: one page on the loopback interface, one answer for each connection.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use httparse::{EMPTY_HEADER, Header};

/// How often the server looks whether somebody calls, or whether it is to stop.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a connection may take to ask, and how long its system may refuse to take more.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most connections at a time; others wait until one ends, which [`PATIENCE`] sees to.
const CONNECTIONS: usize = 32;

/// The most bytes of a request's head, and the most of its headers.
const HEAD: usize = 16 << 10;
const HEADERS: usize = 64;

/// What every answer says of itself besides its type and its length.
const SAID: &str = "Cache-Control: no-store\r\n\
    Connection: close\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n\
    Referrer-Policy: no-referrer\r\n\
    X-Content-Type-Options: nosniff\r\n\
    X-Frame-Options: DENY\r\n";

/// The page on a port of 127.0.0.1.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    patience: Duration,
}

impl Server {
    /// Binds `port` of 127.0.0.1, or a free one when it is 0.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn bind(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, patience: PATIENCE })
    }

    /// The address of the loopback interface and the port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `page` until `stop` says so; answers on their way then end with the process.
    pub fn serve(&self, page: &'static [u8], stop: impl Fn() -> bool) {
        let (port, patience) = (self.address.port(), self.patience);
        // As many copies as there are connections, and this one.
        let open = Arc::new(());
        while !stop() {
            if Arc::strong_count(&open) <= CONNECTIONS
                && let Ok((stream, _)) = self.listener.accept()
            {
                let open = Arc::clone(&open);
                // A browser that does not read must not keep this loop from hearing Ctrl-C. One
                // that goes away while it is answered is no failure, and one for whom there is no
                // thread is told so by the end of its connection.
                let _ = thread::Builder::new().spawn(move || {
                    let _ = converse(stream, page, port, patience);
                    drop(open);
                });
            } else {
                // Nobody calls, or the system has no file descriptor left for who does.
                thread::sleep(PAUSE);
            }
        }
    }
}

/// Reads one request and answers it; `patience` is that of [`PATIENCE`].
fn converse(mut stream: TcpStream, page: &[u8], port: u16, patience: Duration) -> io::Result<()> {
    // What it inherits of the listener is different from system to system.
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(patience))?;
    let asked = Instant::now();
    let mut head = Vec::new();
    let answer = loop {
        let mut headers = [EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&head) {
            Ok(status) if status.is_complete() => break answer(&request, page, port),
            Ok(_) if head.len() < HEAD => (),
            Ok(_) | Err(_) => break refused(400, "This is no request that is served here.\n"),
        }
        let left = patience.saturating_sub(asked.elapsed()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left))?;
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            read => head.extend_from_slice(bytes.get(..read).unwrap_or_default()),
        }
    };
    stream.write_all(&answer.head())?;
    if !answer.head_only {
        stream.write_all(answer.body)?;
    }
    stream.shutdown(Shutdown::Write)?;
    // What was sent and not read would end the connection before the answer has arrived.
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    io::copy(&mut stream.take(1 << 20), &mut io::sink())?;
    Ok(())
}

/// A status, a type, and bytes of which a HEAD request gets the length alone.
struct Answer<'a> {
    status: u16,
    kind: &'static str,
    body: &'a [u8],
    head_only: bool,
}

impl Answer<'_> {
    /// The status line and the headers, in bytes.
    fn head(&self) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            _ => "Method Not Allowed",
        };
        let Self { status, kind, body, .. } = self;
        let length = body.len();
        let typed = format!("Content-Type: {kind}; charset=utf-8\r\nContent-Length: {length}");
        format!("HTTP/1.1 {status} {reason}\r\n{SAID}{typed}\r\n\r\n").into_bytes()
    }
}

fn refused(status: u16, sentence: &str) -> Answer<'_> {
    Answer { status, kind: "text/plain", body: sentence.as_bytes(), head_only: false }
}

fn answer<'a>(request: &httparse::Request, page: &'a [u8], port: u16) -> Answer<'a> {
    let path = request.path.and_then(|path| path.split('?').next());
    let answer = match request.method {
        // Another site's page may reach this port under a name of its own (DNS rebinding).
        _ if !is_own_host(request.headers, port) => {
            refused(403, "This page is served as 127.0.0.1 and localhost alone.\n")
        }
        Some("GET" | "HEAD") if matches!(path, Some("/" | "/index.html")) => {
            Answer { status: 200, kind: "text/html", body: page, head_only: false }
        }
        Some("GET" | "HEAD") => refused(404, "There is one page here: /\n"),
        _ => refused(405, "Ask for this page with GET.\n"),
    };
    Answer { head_only: request.method == Some("HEAD"), ..answer }
}

/// Whether there is one Host header and it names this server.
fn is_own_host(headers: &[Header], port: u16) -> bool {
    let mut hosts = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("Host"));
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    ["127.0.0.1", "localhost"].into_iter().any(|name| {
        let named = |own: &str| host.value.eq_ignore_ascii_case(own.as_bytes());
        named(&format!("{name}:{port}")) || port == 80 && named(name)
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// What the server says to this request and to one that asks it to close the connection.
    fn said(server: &Server, first_line: &str, headers: &[&str]) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        write!(stream, "{first_line}\r\nConnection: close\r\n").unwrap();
        for header in headers {
            // In pieces, as a network may bring it.
            let (half, rest) = header.split_at(header.len() / 2);
            let _ = stream.write_all(half.as_bytes());
            let _ = write!(stream, "{rest}\r\n");
        }
        let _ = stream.write_all(b"\r\n");
        // A server that has heard enough of a bad request resets the connection after its answer.
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    /// Stops the server also when an assertion fails.
    struct Stops<'a>(&'a AtomicBool);

    impl Drop for Stops<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_page_is_given_to_this_machine_under_its_own_names_alone() {
        let server = Server::bind(0).unwrap();
        assert!(server.address().ip().is_loopback());
        let port = server.address().port();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stops = Stops(&stop);
            scope.spawn(|| server.serve(b"a page", || stop.load(Ordering::Relaxed)));
            let (own, page) = (format!("Host: 127.0.0.1:{port}"), "GET / HTTP/1.1");
            for host in [&own, &format!("host: LOCALHOST:{port}")] {
                let answer = said(&server, page, &[host]);
                assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
                assert!(answer.contains("Content-Length: 6\r\n"), "{answer}");
                assert!(answer.contains("Content-Type: text/html; charset=utf-8\r\n"), "{answer}");
                assert!(answer.ends_with("\r\n\r\na page"), "{answer}");
                assert!(answer.contains(SAID), "{answer}");
            }
            let foreign = format!("Host: evil.example:{port}");
            let other_port = format!("Host: 127.0.0.1:{}", port ^ 1);
            for (first_line, headers, status) in [
                (page, &[foreign.as_str()][..], 403),
                (page, &[&other_port], 403),
                (page, &["Host: 127.0.0.1"], 403),
                (page, &[&own, &foreign], 403),
                (page, &[], 403),
                ("POST / HTTP/1.1", &[&foreign], 403),
                ("GET /other HTTP/1.1", &[&own], 404),
                ("POST / HTTP/1.1", &[&own], 405),
                ("nonsense", &[&own], 400),
            ] {
                let answer = said(&server, first_line, headers);
                let expected = format!("HTTP/1.1 {status} ");
                assert!(answer.starts_with(&expected), "{first_line} {headers:?}: {answer}");
                assert!(!answer.contains("a page"), "{answer}");
            }
            let head = said(&server, "HEAD /?x HTTP/1.1", &[&own]);
            assert!(head.contains("Content-Length: 6\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        });
    }

    #[test]
    fn silence_and_endless_headers_are_not_waited_for() {
        let patience = Duration::from_millis(300);
        let server = Server { patience, ..Server::bind(0).unwrap() };
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stops = Stops(&stop);
            scope.spawn(|| server.serve(b"a page", || stop.load(Ordering::Relaxed)));
            let calls = || TcpStream::connect(server.address()).unwrap();
            let silent: Vec<_> = (0..2 * CONNECTIONS).map(|_| calls()).collect();
            let began = Instant::now();
            let own = format!("Host: 127.0.0.1:{}", server.address().port());
            assert!(said(&server, "GET / HTTP/1.1", &[&own]).ends_with("a page"));
            // Two rounds of connections that say nothing were ended before it.
            assert!(began.elapsed() > patience, "{:?}", began.elapsed());
            drop(silent);
            let endless = format!("X: {}", "x".repeat(HEAD));
            let answer = said(&server, "GET / HTTP/1.1", &[&own, &endless]);
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
            let many = ["X: x"; HEADERS + 1];
            let answer = said(&server, "GET / HTTP/1.1", &many);
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        });
    }

    #[test]
    fn a_browser_that_does_not_read_holds_nothing_up() {
        static LARGE: [u8; 32 << 20] = [b'x'; 32 << 20];
        let server = Server::bind(0).unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let stops = Stops(&stop);
            let serving = scope.spawn(|| server.serve(&LARGE, || stop.load(Ordering::Relaxed)));
            let mut stream = TcpStream::connect(server.address()).unwrap();
            write!(stream, "GET / HTTP/1.1\r\nHost: {}\r\n\r\n", server.address()).unwrap();
            // The answer has begun, and is longer than what the system keeps for a reader.
            stream.read_exact(&mut [0; 1]).unwrap();
            drop(stops);
            serving.join().unwrap();
        });
    }
}
