// A cluster client that goes on when a primary is killed.
//
//     npm install
//     node cluster_client.mjs [--kill] [host:port]

import { Cluster } from "ioredis";
import { setTimeout as sleep } from "node:timers/promises";

const KEY = "counter";
/** The writes go on for so many milliseconds. */
const DURATION = 10_000;
/** A time without acknowledged writes is worth a line from here on, in milliseconds. */
const GAP = 100;

async function main() {
  const args = process.argv.slice(2);
  const kill = args.includes("--kill");
  const address = args.find((arg) => !arg.startsWith("--")) ?? "127.0.0.1:7000";
  const [host, port] = address.split(":");

  // Any node is enough to find the others.
  const client = new Cluster([{ host, port: Number(port) }]);
  client.on("error", (error) => console.log(`the client reports: ${error.message}`));
  await client.set("greeting", "hello");
  console.log("greeting:", await client.get("greeting"));
  console.log(`${KEY} is served by ${name(await owner(client))}`);

  await count(client, kill);

  const value = await client.get(KEY);
  console.log(`${KEY} is served by ${name(await owner(client))}; it is ${value}`);
  client.disconnect();
}

/** The primary that serves the key: the others answer MOVED. */
async function owner(client) {
  for (const node of client.nodes("master")) {
    if (await node.exists(KEY).then(() => true, () => false)) {
      return node;
    }
  }
  throw new Error(`no primary serves ${KEY}`);
}

function name(node) {
  return `${node.options.host}:${node.options.port}`;
}

/** Writes numbers for some time; kills the primary in between, if asked. */
async function count(client, kill) {
  const started = Date.now();
  let acknowledged = started;
  let number = 0;
  let failed = 0;
  while (Date.now() < started + DURATION) {
    if (kill && Date.now() > started + 2_000) {
      kill = false;
      await killOwner(client);
    }
    try {
      await client.set(KEY, number);
    } catch (error) {
      failed += 1;
      if (failed === 1) {
        console.log(`write ${number} has failed: ${error.message}`);
      }
      await sleep(20);
      continue;
    }
    const now = Date.now();
    if (now - acknowledged > GAP) {
      const gap = ((now - acknowledged) / 1000).toFixed(2);
      console.log(`write ${number} was acknowledged ${gap} s after the one before`);
    }
    acknowledged = now;
    number += 1;
  }
  console.log(`${number} writes were acknowledged, ${failed} attempts failed`);
}

/** Ends the process of the primary that serves the key, which must be on this machine. */
async function killOwner(client) {
  const node = await owner(client);
  const info = await node.info("server");
  const pid = Number(/process_id:(\d+)/.exec(info)[1]);
  console.log(`killing ${name(node)}, process ${pid}`);
  process.kill(pid, "SIGKILL");
}

await main();
