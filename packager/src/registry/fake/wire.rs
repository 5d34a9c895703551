//! HTTP, as far as the registry needs it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::{Fault, Request, State};

/// Bytes of a request's head or of one chunk's length.
const HEAD_LIMIT: u64 = 64 << 10;
/// Bytes of a request's body.
const BODY_LIMIT: u64 = 256 << 20;
/// Bytes that an endless answer has in the end, so that a test that does not hang up ends as well.
const ENDLESS: usize = 1 << 30;

/// How long a stalled answer stalls: far longer than a test waits for it.
const STALL: std::time::Duration = std::time::Duration::from_secs(30);

/// An answer before it is sent.
pub(super) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

pub(super) fn answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer {
        status,
        headers: Vec::new(),
        body: body.into(),
    }
}

impl Answer {
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

pub(super) fn serve(
    state: &State,
    address: SocketAddr,
    connection: &TcpStream,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    // A client that tries TLS first (record type 22) is hung up on.
    if reader.fill_buf()?.first() == Some(&22) {
        return Ok(());
    }
    let (request, body) = read_request(&mut reader)?;
    let is_head = request.method == "HEAD";
    let fault = state.note(&request);
    if matches!(fault, Some(Fault::HangUp)) {
        return Ok(());
    }
    let mut answer = match &fault {
        Some(Fault::Status(status, text)) => answer(*status, *text),
        Some(Fault::EndlessStatus(status)) => answer(*status, ""),
        Some(Fault::Later(status, seconds)) => {
            answer(*status, "").with("Retry-After", seconds.to_string())
        }
        Some(Fault::Linked(bytes, link)) => answer(200, bytes.clone()).with("Link", link.clone()),
        Some(Fault::Challenge(challenge)) => {
            answer(401, "").with("WWW-Authenticate", challenge.clone())
        }
        Some(Fault::Body(bytes)) => answer(200, bytes.clone()),
        Some(Fault::Redirect(server)) => {
            answer(307, "").with("Location", format!("http://{server}{}", request.path))
        }
        Some(Fault::NoRange) => state.answer(
            address,
            &Request {
                range: None,
                ..request
            },
            &body,
        ),
        _ => state.answer(address, &request, &body),
    };
    if matches!(fault, Some(Fault::NoLocation)) {
        answer.headers.retain(|(name, _)| *name != "Location");
    }
    let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", answer.status);
    let is_endless = matches!(fault, Some(Fault::Endless | Fault::EndlessStatus(_)));
    if !is_endless {
        head.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
    }
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut connection = connection;
    if matches!(fault, Some(Fault::EndlessHead)) {
        connection.write_all(head.as_bytes())?;
        let line = format!("X-More: {}\r\n", "x".repeat(1000));
        for _ in 0..ENDLESS / line.len() {
            connection.write_all(line.as_bytes())?;
        }
        return Ok(());
    }
    head.push_str("\r\n");
    connection.write_all(head.as_bytes())?;
    if is_head {
        return Ok(());
    }
    match fault {
        Some(Fault::Cut(bytes)) => {
            connection.write_all(answer.body.get(..bytes).unwrap_or(&answer.body))
        }
        Some(Fault::Stall(bytes)) => {
            connection.write_all(answer.body.get(..bytes).unwrap_or(&answer.body))?;
            connection.flush()?;
            std::thread::sleep(STALL);
            Ok(())
        }
        Some(Fault::Endless | Fault::EndlessStatus(_)) => {
            let piece = vec![b'x'; 64 << 10];
            for _ in 0..ENDLESS / piece.len() {
                connection.write_all(&piece)?;
            }
            Ok(())
        }
        _ => connection.write_all(&answer.body),
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> std::io::Result<(Request, Vec<u8>)> {
    let mut line = || -> std::io::Result<String> {
        let mut line = String::new();
        reader.by_ref().take(HEAD_LIMIT).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let mut headers = BTreeMap::new();
    loop {
        let header = line()?;
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = Vec::new();
    if headers
        .get("transfer-encoding")
        .is_some_and(|coding| coding == "chunked")
    {
        loop {
            let mut size = String::new();
            reader.by_ref().take(HEAD_LIMIT).read_line(&mut size)?;
            let size = u64::from_str_radix(size.trim(), 16)
                .unwrap_or(0)
                .min(BODY_LIMIT);
            reader.by_ref().take(size).read_to_end(&mut body)?;
            let mut end = String::new();
            reader.by_ref().take(2).read_line(&mut end)?;
            if size == 0 {
                break;
            }
        }
    } else {
        let length = headers
            .get("content-length")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let length = BODY_LIMIT.min(length);
        let read = reader.by_ref().take(length).read_to_end(&mut body)?;
        if (read as u64) < length {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    // The media type of a manifest travels to the handler in the body's place.
    if path.contains("/manifests/") {
        let mut typed = headers
            .remove("content-type")
            .unwrap_or_default()
            .into_bytes();
        typed.push(b'\n');
        typed.append(&mut body);
        body = typed;
    }
    let authorization = headers.remove("authorization");
    let range = headers.remove("range");
    Ok((
        Request {
            method,
            path,
            authorization,
            range,
        },
        body,
    ))
}
