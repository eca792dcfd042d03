//! Signalling messages over a stream.

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::core::signaling::{self, Decoder, Message, Type};

/// Who begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one who opened the signalling stream.
    Offers,
    /// The other one.
    Answers,
}

/// Why nothing more can be arranged over the stream.
#[derive(Debug, thiserror::Error)]
pub enum SignalingError {
    /// The other side sent something else than signalling messages.
    #[error(transparent)]
    Message(#[from] signaling::Error),
    /// The stream for signalling failed.
    #[error("the relayed connection failed: {0}")]
    Stream(#[from] std::io::Error),
    /// Offer, answer and candidates did not come in this order.
    #[error("offer and answer in the wrong order")]
    Order,
}

/// The receiving half of the signalling stream.
pub(crate) struct Signals<R> {
    reader: R,
    decoder: Decoder,
    /// Received and not decoded yet.
    received: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Signals<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            decoder: Decoder::new(),
            received: Vec::new(),
        }
    }

    /// The next message.
    pub(crate) async fn receive(&mut self) -> Result<Message, SignalingError> {
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

    /// The text of the next message, which has to be of this kind.
    pub(crate) async fn expect(&mut self, kind: Type) -> Result<String, SignalingError> {
        let message = self.receive().await?;
        if message.kind == kind {
            Ok(message.data)
        } else {
            Err(SignalingError::Order)
        }
    }
}

pub(crate) async fn send(
    writer: &mut (impl AsyncWrite + Unpin),
    kind: Type,
    data: String,
) -> Result<(), SignalingError> {
    writer.write_all(&Message { kind, data }.encode()?).await?;
    writer.flush().await?;
    Ok(())
}
