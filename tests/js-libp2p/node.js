// A node of js-libp2p for the page of a browser. Whoever drives the page finds it as `globalThis.node`.

import { noise } from "@chainsafe/libp2p-noise";
import { yamux } from "@chainsafe/libp2p-yamux";
import { circuitRelayTransport } from "@libp2p/circuit-relay-v2";
import { identify } from "@libp2p/identify";
import { ping } from "@libp2p/ping";
import { webRTC, webRTCDirect } from "@libp2p/webrtc";
import { webSockets } from "@libp2p/websockets";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";

// Nobody outside of this machine is asked for this page's address.
const rtcConfiguration = { iceServers: [] };

const node = await createLibp2p({
  addresses: { listen: ["/webrtc"] },
  transports: [
    webSockets(),
    webRTC({ rtcConfiguration }),
    webRTCDirect({ rtcConfiguration }),
    circuitRelayTransport(),
  ],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  // In a browser it dials only what the whole internet reaches, unless it is told otherwise.
  connectionGater: { denyDialMultiaddr: () => false },
  services: { identify: identify(), ping: ping() },
});

globalThis.node = {
  /** Dials an address, and says which connection came of it. */
  dial: async (address) => described(await node.dial(multiaddr(address))),

  /** Has a relay reserve a place, and says under which address this node is reached by way of it and WebRTC. */
  reserve: async (relay) => {
    const reached = () => node.getMultiaddrs().map(String).find((it) => it.includes("/webrtc/"));
    await node.components.transportManager.listen([multiaddr(`${relay}/p2p-circuit`)]);
    while (!reached()) await new Promise((resolve) => node.addEventListener("self:peer:update", resolve, { once: true }));
    return reached();
  },

  /** All connections with a peer. */
  connections: (peer) => node.getConnections().filter((it) => it.remotePeer.toString() === peer).map(described),

  /** Whether the other side of the direct connection with a peer answers a ping. */
  ping: (peer) => comesBack(peer, "/ipfs/ping/1.0.0", 32, { untilTheEnd: false }),

  /** Whether that many bytes come back over a stream of a protocol whose other side sends back all it gets. */
  echo: (peer, protocol, length) => comesBack(peer, protocol, length, { untilTheEnd: true }),
};

const described = (connection) => ({
  address: connection.remoteAddr.toString(),
  relayed: connection.limits != null,
  inbound: connection.direction === "inbound",
});

/** Sends bytes, closes this half if the other side is to see the end of it, and compares what comes back. */
async function comesBack(peer, protocol, length, { untilTheEnd }) {
  const direct = node.getConnections().find((it) => it.remotePeer.toString() === peer && it.limits == null);
  const stream = await direct.newStream(protocol);
  const byte = (at) => at % 251;
  let received = 0;
  const same = (async () => {
    for await (const part of stream) {
      if (!part.subarray().every((it) => it === byte(received++))) return false;
      if (received === length && !untilTheEnd) break;
    }
    return received === length;
  })();
  const sent = Uint8Array.from({ length }, (_, at) => byte(at));
  for (let at = 0; at < length; at += 65536) {
    if (!stream.send(sent.subarray(at, at + 65536))) await stream.onDrain();
  }
  if (untilTheEnd) await stream.close();
  return same;
}
