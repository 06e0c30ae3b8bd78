// Builds the page: node build.mjs OUT_DIR; or its tests for Node.js: node build.mjs --tests OUT_DIR
import { build } from "esbuild";
import { cp, mkdir, readFile, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const runtime = join(here, "node_modules", "onnxruntime-web");
const { version } = JSON.parse(await readFile(join(runtime, "package.json"), "utf8"));
const shared = {
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  target: "es2022",
  define: { RUNTIME_VERSION: JSON.stringify(version) },
  logLevel: "warning",
};

async function buildTests(out) {
  const files = (await readdir(join(here, "test"))).filter((file) => file.endsWith(".test.ts"));
  await build({
    ...shared,
    entryPoints: files.map((file) => join("test", file)),
    outdir: out,
    outExtension: { ".js": ".mjs" },
    platform: "node",
    // The entry for WebAssembly alone is for browsers; Node.js has one entry only.
    alias: { "onnxruntime-web/wasm": join(runtime, "dist", "ort.node.min.mjs") },
    external: [join(runtime, "*"), "playwright-core", "axe-core"],
  });
}

async function buildPage(out) {
  await rm(out, { recursive: true, force: true });
  await mkdir(join(out, "runtime"), { recursive: true });
  await build({
    ...shared,
    entryPoints: { page: "src/page/main.ts", worker: "src/engine/worker.ts", offline: "src/offline.ts" },
    outdir: out,
    minify: true,
    legalComments: "linked",
    conditions: ["onnxruntime-web-use-extern-wasm"],
  });
  await cp(join(here, "static"), out, { recursive: true });
  for (const file of ["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"])
    await cp(join(runtime, "dist", file), join(out, "runtime", file));
}

const [first, second] = process.argv.slice(2);
if (first === "--tests" && second) await buildTests(second);
else if (first && !second) await buildPage(first);
else {
  console.error("usage: node build.mjs [--tests] OUT_DIR");
  process.exit(2);
}
