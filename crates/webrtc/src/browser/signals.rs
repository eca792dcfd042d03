use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Error;
use crate::core::signaling::{Decoder, Message, Type};

/// The receiving half of the signalling stream.
pub(super) struct Signals<R> {
    reader: R,
    decoder: Decoder,
    /// Received and not decoded yet.
    received: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Signals<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            decoder: Decoder::new(),
            received: Vec::new(),
        }
    }

    pub(super) async fn receive(&mut self) -> Result<Message, Error> {
        loop {
            let mut input = &self.received[..];
            let decoded = self.decoder.decode(&mut input)?;
            let rest = input.len();
            self.received.drain(..self.received.len() - rest);
            if let Some(message) = decoded {
                return Ok(message);
            }
            let mut buffer = [0; 1024];
            let len = self.reader.read(&mut buffer).await?;
            if len == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            self.received.extend_from_slice(&buffer[..len]);
        }
    }
}

pub(super) async fn send(
    writer: &mut (impl AsyncWrite + Unpin),
    kind: Type,
    data: String,
) -> Result<(), Error> {
    writer.write_all(&Message { kind, data }.encode()?).await?;
    writer.flush().await?;
    Ok(())
}
