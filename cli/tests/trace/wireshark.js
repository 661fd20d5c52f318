// What Wireshark makes of the hellos of a capture: wireshark.js MODULES CAPTURE prints, for each, the client's port, JA3 and JA4.
// MODULES holds @goodtools/wiregasm, which is Wireshark compiled for WebAssembly.

"use strict";

const fs = require("fs");
const path = require("path");

const [modules, capture] = process.argv.slice(2);
const home = path.join(modules, "@goodtools", "wiregasm");
const { Wiregasm } = require(home);

async function main() {
  const shark = new Wiregasm();
  const quiet = () => {};
  await shark.init(require(path.join(home, "dist", "wiregasm")), {
    locateFile: (file) => path.join(home, "dist", file),
    handleStatus: quiet,
    print: quiet,
    printErr: quiet,
  });
  const loaded = shark.load(path.basename(capture), fs.readFileSync(capture));
  if (loaded.code !== 0) throw new Error(`the capture cannot be read: ${loaded.code}`);
  const hellos = shark.frames("tls.handshake.type == 1", 0, 0).frames;
  for (let index = 0; index < hellos.size(); index++) {
    const known = {};
    const look = (nodes) => {
      for (let at = 0; at < nodes.size(); at++) {
        const node = nodes.get(at);
        const field = /^(tcp\.srcport|tls\.handshake\.ja[34]) == "?([^"]*)"?$/.exec(node.filter);
        // What comes from a second hello in one frame is nobody's here.
        if (field && !(field[1] in known)) known[field[1]] = field[2];
        look(node.tree);
      }
    };
    look(shark.frame(hellos.get(index).number).tree);
    console.log(known["tcp.srcport"], known["tls.handshake.ja3"], known["tls.handshake.ja4"]);
  }
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
