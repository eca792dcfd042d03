//! Fragments from web servers: plain files in a folder, which a manifest names.

use std::io::Read;
use std::time::Duration;

use fragments::FragmentId;

/// How long a server may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one fragment may take altogether.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Why a web server did not help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Http(#[from] Box<ureq::Error>),
    #[error("it stopped in the middle: {0}")]
    Read(#[from] std::io::Error),
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("it stopped in the middle")]
    Short,
    #[error("what it has is not the fragment")]
    Other,
}

/// Fetches a fragment of `total` bytes from a folder on a web server, and sees that it is the right one. `have` is the
/// beginning of it, as far as it is known, and afterwards the whole, or what can be gone on from.
pub(crate) fn fetch(
    seed: &str,
    id: &FragmentId,
    have: &mut Vec<u8>,
    total: u64,
) -> Result<(), Error> {
    if have.len() as u64 >= total {
        have.clear();
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_global(Some(LONGEST))
        .http_status_as_error(false)
        .build()
        .into();
    let mut request = agent.get(format!("{seed}{}", id.file_name()));
    if !have.is_empty() {
        request = request.header("Range", format!("bytes={}-", have.len()));
    }
    let mut answer = request.call().map_err(Box::new)?;
    match answer.status().as_u16() {
        206 => {}
        // A server may send the whole whatever it was asked for.
        200 => have.clear(),
        other => return Err(Error::Status(other)),
    }
    let rest = total - have.len() as u64;
    // One byte more would show a file that is too long.
    let mut body = answer.body_mut().as_reader().take(rest + 1);
    body.read_to_end(have)?;
    if (have.len() as u64) < total {
        return Err(Error::Short);
    }
    if FragmentId::of(have) != *id {
        have.clear();
        return Err(Error::Other);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    /// A server that answers one request, and gives the request's lines.
    fn server(answer: Vec<u8>) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let seed = format!("http://{}/model/", listener.local_addr().unwrap());
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let lines = lines.map(Result::unwrap);
            let request = lines.take_while(|line| !line.is_empty()).collect();
            // Whoever asked may have hung up when it had heard enough.
            let _ = stream.write_all(&answer);
            request
        });
        (seed, serving)
    }

    fn answer(status: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    fn whole() -> (FragmentId, Vec<u8>) {
        let bytes: Vec<u8> = (0..100_000_u32).map(|i| (i / 7) as u8).collect();
        (FragmentId::of(&bytes), bytes)
    }

    #[test]
    fn a_fragment_is_fetched_from_where_it_stopped() {
        let (id, bytes) = whole();
        let total = bytes.len() as u64;
        let (seed, serving) = server(answer("206 Partial Content", &bytes[1000..]));
        let mut have = bytes[..1000].to_vec();
        fetch(&seed, &id, &mut have, total).unwrap();
        assert!(have == bytes);
        let request = serving.join().unwrap();
        assert_eq!(request[0], format!("GET /model/{id}.fragment HTTP/1.1"));
        let range = |line: &String| line.eq_ignore_ascii_case("range: bytes=1000-");
        assert!(request.iter().any(range), "{request:?}");
        // One that knows no ranges.
        let (seed, _serving) = server(answer("200 OK", &bytes));
        let mut have = bytes[..1000].to_vec();
        fetch(&seed, &id, &mut have, total).unwrap();
        assert!(have == bytes);
    }

    #[test]
    fn nothing_is_left_of_a_wrong_beginning() {
        let (id, bytes) = whole();
        let rest = answer("206 Partial Content", &bytes[1000..]);
        let (seed, _serving) = server(rest);
        let mut have = vec![9; 1000];
        assert!(fetch(&seed, &id, &mut have, bytes.len() as u64).is_err());
        assert!(have.is_empty());
        // One that is too long is none.
        let (seed, _serving) = server(answer("200 OK", &bytes));
        let mut have = vec![9; bytes.len() + 1];
        fetch(&seed, &id, &mut have, bytes.len() as u64).unwrap();
        assert!(have == bytes);
    }

    #[test]
    fn what_came_before_it_broke_off_is_kept() {
        let (id, bytes) = whole();
        let mut broken = answer("200 OK", &bytes);
        broken.truncate(broken.len() - 500);
        let (seed, _serving) = server(broken);
        let mut have = Vec::new();
        assert!(fetch(&seed, &id, &mut have, bytes.len() as u64).is_err());
        assert!(have == bytes[..bytes.len() - 500]);
    }

    #[test]
    fn what_is_not_the_fragment_is_not_taken_for_it() {
        let (id, bytes) = whole();
        let total = bytes.len() as u64;
        let mut wrong = bytes.clone();
        wrong[5] ^= 1;
        let long = [&bytes[..], b"more"].concat();
        let endless = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n".to_vec();
        for (what, sent) in [
            ("wrong", answer("200 OK", &wrong)),
            ("long", answer("200 OK", &long)),
            ("missing", answer("404 Not Found", b"no")),
            ("nothing", Vec::new()),
            ("endless", [endless, bytes.repeat(3)].concat()),
        ] {
            let (seed, _serving) = server(sent);
            let mut have = Vec::new();
            assert!(fetch(&seed, &id, &mut have, total).is_err(), "{what}");
            assert!(have.is_empty(), "{what}");
        }
    }
}
