//! Makes the two sides of the page unreachable for each other, without a word to either.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::Command,
};

use crate::BREAKER;

/// The route to the namespace's own address, which the two sides find each other at. Without it packets go to a
/// neighbour that does not exist. On the machine's own network there is none, and nothing is broken.
const ROUTE: &str = "local 10.99.0.1 dev veth0 table local";

/// Serves `GET /silence` and `GET /sound`.
pub(crate) fn serve() {
    let listener = TcpListener::bind(BREAKER).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut request = String::new();
        BufReader::new(&stream).read_line(&mut request).unwrap();
        let action = if request.starts_with("GET /silence ") {
            "delete"
        } else {
            "replace"
        };
        let done = Command::new("ip")
            .args(["route", action])
            .args(ROUTE.split(' '))
            .status()
            .is_ok_and(|status| status.success());
        let status = if done {
            "200 OK"
        } else {
            "501 Not Implemented"
        };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
    }
}
