// The agent of graphile-worker: the orders of benchmarks/agent.py in JavaScript, and the worker.
// Packages are found over NODE_PATH. The page of stamps cannot be mapped here, so each start is one small write.
"use strict";
const fs = require("node:fs");
const readline = require("node:readline");
const { performance } = require("node:perf_hooks");
const { run, makeWorkerUtils, runMigrations, Logger } = require("graphile-worker");

const [role, connectionString] = process.argv.slice(2);
const quiet = new Logger(() => () => {});
const now = () => performance.now() / 1000;
const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

function stamper() {
  const page = fs.openSync(process.env.UNSTUCK_BENCH_STAMPS, "r+");
  const moment = Buffer.alloc(8);
  return (n) => {
    moment.writeBigInt64LE(process.hrtime.bigint());
    fs.writeSync(page, moment, 0, 8, n * 8);
  };
}

async function work() {
  const stamp = stamper();
  const runner = await run({
    connectionString,
    logger: quiet,
    noHandleSignals: false,
    taskList: { empty: async ({ n }) => stamp(n) },
    preset: {
      worker: {
        concurrentJobs: 24,
        maxPoolSize: 10,
        localQueue: { size: 500 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
  });
  await runner.promise;
}

async function client() {
  let utils;
  const one = (n) => utils.addJob("empty", { n });
  const many = (first, jobs) =>
    utils.addJobs(Array.from({ length: jobs }, (_, at) => ({ identifier: "empty", payload: { n: first + at } })));
  const account = (jobs, began, used) => {
    const cpu = process.cpuUsage(used);
    return { jobs, seconds: now() - began, cpu: (cpu.user + cpu.system) / 1e6 };
  };
  const orders = {
    async prepare() {
      await runMigrations({ connectionString, logger: quiet });
      return orders.open();
    },
    async open() {
      utils = await makeWorkerUtils({ connectionString, logger: quiet });
      return {};
    },
    async one({ first, seconds }) {
      const began = now(), used = process.cpuUsage();
      let n = first;
      while (now() < began + seconds) await one(n++);
      return account(n - first, began, used);
    },
    async bulk({ first, jobs, seconds }) {
      const began = now(), used = process.cpuUsage();
      let calls = 0;
      for (; calls < 2 || now() < began + seconds; calls++) await many(first + calls * jobs, jobs);
      return account(calls * jobs, began, used);
    },
    async fill({ first, jobs }) {
      for (let at = first; at < first + jobs; at += 10000) await many(at, Math.min(10000, first + jobs - at));
      return {};
    },
    async probe({ first, samples, interval }) {
      const moments = [];
      for (let n = first; n < first + samples; n++) {
        moments.push(Number(process.hrtime.bigint()));
        await one(n);
        await sleep(interval);
      }
      return { moments };
    },
    async load({ first, rate, seconds }) {
      const began = now(), used = process.cpuUsage();
      let n = first;
      for (let passed = 0; passed < seconds; passed = now() - began) {
        const due = Math.min(10000, Math.floor(rate * passed) - (n - first));
        if (due > 0) await many(n, due);
        n += Math.max(0, due);
        await sleep(0.02);
      }
      return account(n - first, began, used);
    },
    async unfinished() {
      const found = await utils.withPgClient((pg) => pg.query("SELECT count(*)::int AS jobs FROM graphile_worker.jobs"));
      return { jobs: found.rows[0].jobs };
    },
  };
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { do: order, ...rest } = JSON.parse(line);
    let answer;
    try {
      answer = await orders[order](rest);
    } catch (error) {
      console.error(error);
      answer = { error: String(error) };
    }
    console.log(JSON.stringify(answer));
  }
  await utils?.release();
}

(role === "client" ? client() : work()).catch((error) => {
  console.error(error);
  process.exit(1);
});
