/** Do we make of STEVE's messages what Rust makes of them? Reads what `cargo xtask agreement-steve` writes. */

import { type Case, Player } from "../test/steve/player.js";
import { compare } from "./compare.js";

const player = new Player();
await compare<Case>("messages", async (one) => ({
  ours: await player.say(one),
  theirs: one.said,
  outcome: `${one.of} ${one.expect}`,
}));
