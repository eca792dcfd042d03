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
use network::{Config, Identity};
use probe::{FRAGMENT, MESSAGE, Measured, WARM_UP};

use crate::{
    bare,
    link::{self, Pair},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Sockets, as plain as they come.
pub(super) fn socket(pair: &Pair, rounds: usize) -> Result<Measured> {
    let (tell, told) = sync_channel(1);
    link::at(&pair.one, move || {
        let listener = TcpListener::bind((Pair::ADDRESSES[0], 0))?;
        tell.send(listener.local_addr()?)?;
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut message = vec![0; MESSAGE];
        for _ in 0..WARM_UP + rounds {
            stream.read_exact(&mut message)?;
            stream.write_all(&message)?;
        }
        // Somebody asks for a fragment.
        stream.read_exact(&mut [0])?;
        stream.write_all(&vec![7; FRAGMENT])?;
        Ok(())
    });
    let address = told.recv_timeout(PATIENCE).context("nobody listens")?;
    link::done_at(&pair.other, move || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut message = vec![0; MESSAGE];
        let mut times = Vec::new();
        for _ in 0..WARM_UP + rounds {
            let begun = Instant::now();
            stream.write_all(&message)?;
            stream.read_exact(&mut message)?;
            times.push(begun.elapsed());
        }
        let begun = Instant::now();
        stream.write_all(&[1])?;
        stream.read_exact(&mut vec![0; FRAGMENT])?;
        Ok(Measured {
            rounds: times.split_off(WARM_UP),
            fragment: begun.elapsed(),
        })
    })
}

const ECHO: StreamProtocol = StreamProtocol::new("/echo");

/// The same over one stream of libp2p's, with the encryption and the multiplexing that nodes have, too.
pub(super) fn bare(pair: &Pair, rounds: usize, transport: &str) -> Result<Measured> {
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
            for _ in 0..WARM_UP + rounds {
                stream.read_exact(&mut message).await?;
                stream.write_all(&message).await?;
                stream.flush().await?;
            }
            // Somebody asks for a fragment.
            stream.read_exact(&mut [0]).await?;
            stream.write_all(&vec![7; FRAGMENT]).await?;
            stream.close().await?;
            // Until the other side has gone.
            let _ = stream.read(&mut [0]).await;
            Ok(())
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
            let mut times = Vec::new();
            for _ in 0..WARM_UP + rounds {
                let begun = Instant::now();
                stream.write_all(&message).await?;
                stream.flush().await?;
                stream.read_exact(&mut message).await?;
                times.push(begun.elapsed());
            }
            let begun = Instant::now();
            stream.write_all(&[1]).await?;
            stream.flush().await?;
            stream.read_exact(&mut vec![0; FRAGMENT]).await?;
            Ok(Measured {
                rounds: times.split_off(WARM_UP),
                fragment: begun.elapsed(),
            })
        })
    })
}

/// Nodes, of which one listens by the transport that an address has in the end.
pub(super) fn nodes(pair: &Pair, rounds: usize, transport: &str) -> Result<Measured> {
    let mut config = Config::new(Identity::generate());
    config.listen = vec![format!("/ip4/{}/{transport}", Pair::ADDRESSES[0]).parse()?];
    let address = super::answering(pair, config)?;
    link::done_at(&pair.other, move || {
        tokio::runtime::Runtime::new()?.block_on(async {
            let config = Config::new(Identity::generate());
            let (handle, mut events) = network::start_on_thread(config)?;
            handle.dial(address);
            let peer = probe::met(&mut events, None).await?;
            let measured = probe::ask(&handle, &mut events, peer, rounds).await?;
            handle.shutdown();
            Ok(measured)
        })
    })
}
