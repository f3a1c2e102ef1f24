// Builds what browsers run into ../static, or into the folder that is named.
//
//   node build.mjs [FOLDER]
//
// What is built is checked in, so that cargo alone can build the program; a test builds it again and compares.
// The same sources give the same bytes wherever they are built. Another file is another entry of `bundles`.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? join(here, "../static");

/** What each file is made of: where its source begins, and what is special about it. */
const bundles = [
  ...["rs-core", "rs", "v6"].map((name) => ({
    out: `${name}.js`,
    entry: `tracker/src/${name}.ts`,
    // Browsers of 2018 and later run it. Names that end with an underscore are ours alone and become short.
    options: { target: "es2018", mangleProps: /[^_]_$/ },
    isSmall: true,
  })),
];

/** Where small files matter, terser finds what esbuild leaves. */
async function smaller(code, map, out) {
  const result = await minify(code, {
    ecma: 2018,
    toplevel: true,
    compress: { passes: 3, unsafe_arrows: true, pure_getters: true },
    sourceMap: { content: map, filename: out, includeSources: true },
  });
  return { code: `${result.code}\n`, map: `${result.map}\n` };
}

for (const { out, entry, options, isSmall } of bundles) {
  const result = await build({
    absWorkingDir: here,
    entryPoints: [entry],
    outfile: out,
    bundle: true,
    minify: true,
    format: "iife",
    charset: "utf8",
    legalComments: "none",
    // The server names the map in a header, which only those ask for who look at the source.
    sourcemap: "external",
    sourcesContent: true,
    write: false,
    logLevel: "warning",
    ...options,
  });
  const built = Object.fromEntries(result.outputFiles.map((file) => [file.path.slice(here.length + 1), file.text]));
  if (isSmall) {
    const { code, map } = await smaller(built[out], built[`${out}.map`], out);
    built[out] = code;
    built[`${out}.map`] = map;
  }
  mkdirSync(target, { recursive: true });
  for (const [name, text] of Object.entries(built)) {
    writeFileSync(join(target, name), text);
  }
  console.log(`${out}: ${built[out].length} bytes, ${gzipSync(built[out], { level: 9 }).length} as gzip`);
}
