// A relay on the npm package ws: `node node_ws.cjs PORT [--coalesce]`.
//
// What a client sends goes to all others at the same path. With --coalesce the frames of one turn of the
// loop go out in one write per receiver, joined by hand; without, it is the broadcast of ws's own manual.
// Memory is bounded for each client by OUTBOX_MAX: one that does not read is cut.
"use strict";
const { WebSocketServer, WebSocket, Sender } = require("ws");

const OUTBOX_MAX = 64 * 1024 * 1024;
const MESSAGE_MAX = 1024 * 1024;
const FRAME = { fin: true, rsv1: false, opcode: 2, mask: false, readOnly: true };

class Channel {
  constructor() {
    this.members = new Set();
    this.frames = [];
  }

  // At once, one send for each receiver.
  relay(sender, message) {
    for (const member of this.members) {
      if (member === sender || member.readyState !== WebSocket.OPEN) continue;
      member.send(message, { binary: true });
      if (member.bufferedAmount > OUTBOX_MAX) member.terminate();
    }
  }

  // At the end of the turn, one write for each receiver.
  collect(sender, message) {
    this.frames.push({ sender, bytes: Buffer.concat(Sender.frame(message, FRAME)) });
    if (this.frames.length === 1) setImmediate(() => this.flush());
  }

  flush() {
    const frames = this.frames;
    this.frames = [];
    const everything = Buffer.concat(frames.map((frame) => frame.bytes));
    const senders = new Set(frames.map((frame) => frame.sender));
    for (const member of this.members) {
      if (member.readyState !== WebSocket.OPEN) continue;
      if (!senders.has(member)) member._socket.write(everything);
      else if (senders.size > 1) {
        const others = frames.filter((frame) => frame.sender !== member);
        member._socket.write(Buffer.concat(others.map((frame) => frame.bytes)));
      }
      if (member._socket.writableLength > OUTBOX_MAX) member.terminate();
    }
  }
}

const port = Number(process.argv[2]);
const coalesce = process.argv.includes("--coalesce");
const channels = new Map();
const server = new WebSocketServer({
  host: "127.0.0.1",
  port,
  backlog: 4096,
  clientTracking: false,
  perMessageDeflate: false,
  skipUTF8Validation: true,
  maxPayload: MESSAGE_MAX,
});

server.on("connection", (member, request) => {
  if (!channels.has(request.url)) channels.set(request.url, new Channel());
  const channel = channels.get(request.url);
  channel.members.add(member);
  member.on("message", (message) =>
    coalesce ? channel.collect(member, message) : channel.relay(member, message),
  );
  member.on("error", () => member.terminate());
  member.on("close", () => {
    channel.members.delete(member);
    if (channel.members.size === 0) channels.delete(request.url);
  });
});
