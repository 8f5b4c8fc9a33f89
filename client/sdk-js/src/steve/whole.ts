/** Everything of STEVE, with both suites: what `dist/steve.min.js` is made of. */

export * from "./index.js";
export { xwing } from "./xwing.js";
