// Make the libraries the page brings along, from the versions that package-lock.json names:
//   npm ci && node vendor.mjs            writes src/parley/server/page/vendor/
//   npm ci && node vendor.mjs --check    tells, by its exit code, whether what is there is what would be written
import { build } from "esbuild";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "node_modules");
const target = join(here, "../../src/parley/server/page/vendor");

const LANGUAGES = [
  "bash", "c", "cpp", "csharp", "css", "diff", "go", "java", "javascript", "json", "php", "python", "ruby", "rust", "sql",
  "typescript", "xml", "yaml",
];
const grammars = LANGUAGES.map((name) => `import ${name} from "highlight.js/lib/languages/${name}";`).join("\n");

/** What each file is made from: a module that says which parts of a library are used. */
const ENTRIES = {
  "marked.js": `export { getDefaults, Lexer, Tokenizer } from "marked";`,
  "highlight.js": `import core from "highlight.js/lib/core";\n${grammars}\n
    const languages = { ${LANGUAGES.join(", ")} };
    for (const [name, grammar] of Object.entries(languages)) core.registerLanguage(name, grammar);
    export default core;`,
  "katex.js": `export { default } from "katex/dist/katex.mjs";`,
};
/** What the page's own checker is told of a library: its parts are classes to be extended, its tokens are plain objects. */
const TYPES = {
  "marked.d.ts": `export function getDefaults(): object;
export class Tokenizer {
  lexer: { inlineQueue: { src: string, tokens: any[] }[] };
${["blockquote", "list", "paragraph", "lheading", "inlineText"].map((name) => `  ${name}(src: string): any;`).join("\n")}
}
export class Lexer {
  constructor(options: object);
  tokens: any[] & { links: Record<string, { href: string, title: string }> };
  lex(src: string): any[];
}
`,
};
const LICENCES = { "marked.LICENSE.txt": "marked/LICENSE", "highlight.LICENSE.txt": "highlight.js/LICENSE", "katex.LICENSE.txt": "katex/LICENSE" };

/** @returns {Promise<Map<string, Buffer>>} every file by its path in the folder */
async function made() {
  const files = new Map();
  for (const [name, contents] of Object.entries(ENTRIES)) {
    const { outputFiles } = await build({
      stdin: { contents, resolveDir: here }, bundle: true, format: "esm", minify: true, write: false, target: "es2022", legalComments: "none",
    });
    files.set(name, Buffer.from(outputFiles[0].contents));
  }
  for (const [name, text] of Object.entries(TYPES)) files.set(name, Buffer.from(text));
  // Every browser that runs the page reads WOFF2.
  const css = await readFile(join(modules, "katex/dist/katex.min.css"), "utf8");
  files.set("katex.css", Buffer.from(css.replace(/,url\([^)]+\) format\("(?:woff|truetype)"\)/g, "")));
  for (const font of await readdir(join(modules, "katex/dist/fonts"))) {
    if (font.endsWith(".woff2")) files.set(`fonts/${font}`, await readFile(join(modules, "katex/dist/fonts", font)));
  }
  for (const [name, path] of Object.entries(LICENCES)) files.set(name, await readFile(join(modules, path)));
  return files;
}

const files = await made();
if (process.argv.includes("--check")) {
  const there = (await readdir(target, { recursive: true, withFileTypes: true })).filter((each) => each.isFile());
  const names = there.map((each) => join(each.parentPath, each.name).slice(target.length + 1));
  const wrong = names.filter((name) => !files.has(name));
  for (const [name, data] of files) {
    if (!names.includes(name) || !data.equals(await readFile(join(target, name)))) wrong.push(name);
  }
  if (wrong.length) {
    console.error(`not as package-lock.json makes it: ${wrong.join(", ")}\nrun: node tools/page/vendor.mjs`);
    process.exit(1);
  }
} else {
  for (const [name, data] of files) {
    await mkdir(dirname(join(target, name)), { recursive: true });
    await writeFile(join(target, name), data);
  }
}
