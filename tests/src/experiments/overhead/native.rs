//! Programs at both ends.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::sync_channel,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::{Multiaddr, StreamProtocol, swarm::SwarmEvent};
use network::{Config, Handle, Identity};
use probe::{Effort, FRAGMENT, MESSAGE, Measured, Rounds};

use crate::{
    bare,
    link::{self, Pair},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Asks for a fragment. Messages, which begin otherwise, are sent back.
const WANTED: u8 = 1;

/// Sockets, as plain as they come.
pub(super) fn socket(pair: &Pair, effort: Effort) -> Result<Measured> {
    let (tell, told) = sync_channel(1);
    link::at(&pair.one, move || {
        let listener = TcpListener::bind((Pair::ADDRESSES[0], 0))?;
        tell.send(listener.local_addr()?)?;
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut message = vec![0; MESSAGE];
        loop {
            match stream.read(&mut message)? {
                0 => return Ok(()),
                _ if message[0] == WANTED => stream.write_all(&vec![7; FRAGMENT])?,
                some => {
                    stream.read_exact(&mut message[some..])?;
                    stream.write_all(&message)?;
                }
            }
        }
    });
    let address = told.recv_timeout(PATIENCE).context("nobody listens")?;
    link::done_at(&pair.other, move || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut message = vec![0; MESSAGE];
        let mut rounds = Rounds::new(effort);
        while let Some(begun) = rounds.begun() {
            stream.write_all(&message)?;
            stream.read_exact(&mut message)?;
            rounds.ended(begun);
        }
        let begun = Instant::now();
        stream.write_all(&[WANTED])?;
        stream.read_exact(&mut vec![0; FRAGMENT])?;
        Ok(Measured {
            rounds: rounds.times(),
            fragment: begun.elapsed(),
        })
    })
}

const ECHO: StreamProtocol = StreamProtocol::new("/echo");

/// The same over one stream of libp2p's, with the encryption and the multiplexing that nodes have, too.
pub(super) fn bare(pair: &Pair, effort: Effort, transport: &str) -> Result<Measured> {
    let listen: Multiaddr = format!("/ip4/{}/{transport}", Pair::ADDRESSES[0]).parse()?;
    let (tell, told) = sync_channel(8);
    link::at(&pair.one, move || {
        tokio::runtime::Runtime::new()?.block_on(async {
            let mut swarm = bare::swarm()?;
            let mut streams = swarm.behaviour().new_control().accept(ECHO)?;
            swarm.listen_on(listen)?;
            tokio::spawn(async move {
                loop {
                    if let SwarmEvent::NewListenAddr { address, .. } =
                        swarm.select_next_some().await
                    {
                        // Fails when nobody waits any more.
                        let _ = tell.try_send(address);
                    }
                }
            });
            let (_, mut stream) = streams.next().await.context("nobody comes")?;
            let mut message = vec![0; MESSAGE];
            loop {
                match stream.read(&mut message).await? {
                    0 => return Ok(()),
                    _ if message[0] == WANTED => {
                        stream.write_all(&vec![7; FRAGMENT]).await?;
                    }
                    some => {
                        stream.read_exact(&mut message[some..]).await?;
                        stream.write_all(&message).await?;
                    }
                }
                stream.flush().await?;
            }
        })
    });
    let address = told.recv_timeout(PATIENCE).context("nobody listens")?;
    link::done_at(&pair.other, move || {
        tokio::runtime::Runtime::new()?.block_on(async {
            let mut swarm = bare::swarm()?;
            let mut control = swarm.behaviour().new_control();
            swarm.dial(address)?;
            let peer = loop {
                match swarm.select_next_some().await {
                    SwarmEvent::ConnectionEstablished { peer_id, .. } => break peer_id,
                    SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
                    _ => {}
                }
            };
            tokio::spawn(async move {
                loop {
                    swarm.select_next_some().await;
                }
            });
            let mut stream = control.open_stream(peer, ECHO).await?;
            let mut message = vec![0; MESSAGE];
            let mut rounds = Rounds::new(effort);
            while let Some(begun) = rounds.begun() {
                stream.write_all(&message).await?;
                stream.flush().await?;
                stream.read_exact(&mut message).await?;
                rounds.ended(begun);
            }
            let begun = Instant::now();
            stream.write_all(&[WANTED]).await?;
            stream.flush().await?;
            stream.read_exact(&mut vec![0; FRAGMENT]).await?;
            Ok(Measured {
                rounds: rounds.times(),
                fragment: begun.elapsed(),
            })
        })
    })
}

/// Nodes, of which one listens by the transport that an address has in the end.
pub(super) fn nodes(pair: &Pair, effort: Effort, transport: &str) -> Result<Measured> {
    let mut config = Config::new(Identity::generate());
    config.listen = vec![format!("/ip4/{}/{transport}", Pair::ADDRESSES[0]).parse()?];
    let address = super::answering(pair, config)?;
    let (tell, told) = sync_channel(1);
    link::done_at(&pair.other, move || {
        let config = Config::new(Identity::generate());
        let work = move |handle: Handle, mut events| async move {
            handle.dial(address);
            let measured = async {
                let peer = probe::met(&mut events, None).await?;
                probe::ask(&handle, &mut events, peer, effort).await
            };
            // Fails when nobody waits any more.
            let _ = tell.send(measured.await);
            handle.shutdown();
        };
        Ok(network::start_on_thread(config, work)?)
    })?;
    Ok(told.recv().context("the node that asks has ended")??)
}
