/** node.js SCENARIO: the scenario in Node. */
import { readFileSync } from "node:fs";
import { play, type Scenario } from "./scenario.js";

const [, , file] = process.argv;
if (file === undefined) throw new Error("usage: node.js SCENARIO");
const scenario = JSON.parse(readFileSync(file, "utf8")) as Scenario;
process.exitCode = (await play(scenario, process.env, "typescript", console.log)) === 0 ? 0 : 1;
