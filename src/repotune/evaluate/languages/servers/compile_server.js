// Compiles TypeScript sources that come on stdin and writes JavaScript to stdout; server.py says in which form.
// The argument is the file of the compiler. The declarations of the language's library are read and parsed once.

"use strict";

const fs = require("node:fs");
const path = require("node:path");
const ts = require(process.argv[2]);

const options = { target: ts.ScriptTarget.ESNext, types: [] };
const library = new Map();
const folder = path.dirname(ts.getDefaultLibFilePath(options));

function libraryFile(name) {
  if (!library.has(name)) {
    const text = name.startsWith(folder) && fs.existsSync(name) ? fs.readFileSync(name, "utf8") : undefined;
    library.set(name, text === undefined ? undefined : ts.createSourceFile(name, text, options.target));
  }
  return library.get(name);
}

function hostOf(name, text, files) {
  return {
    getSourceFile: (each) => (each === name ? ts.createSourceFile(name, text, options.target) : libraryFile(each)),
    writeFile: (each, content) => files.push([each, content]),
    getDefaultLibFileName: () => ts.getDefaultLibFilePath(options),
    getCurrentDirectory: () => "",
    getCanonicalFileName: (each) => each,
    useCaseSensitiveFileNames: () => true,
    getNewLine: () => "\n",
    fileExists: (each) => each === name,
    readFile: () => undefined,
    getDirectories: () => [],
  };
}

function compile(name, text) {
  const files = [];
  const host = hostOf(name, text, files);
  const program = ts.createProgram([name], options, host);
  const file = program.getSourceFile(name);
  // Of the program's file alone: to check the library's declarations again would take 0.4 s instead of 0.02.
  const emitted = program.emit(file);
  const faults = ts.getPreEmitDiagnostics(program, file).concat(emitted.diagnostics);
  const errors = faults.filter((each) => each.category === ts.DiagnosticCategory.Error);
  return [errors.length ? ts.formatDiagnostics(errors, host) : "", errors.length ? [] : files];
}

function readExactly(size) {
  const data = Buffer.alloc(size);
  for (let filled = 0; filled < size; ) {
    const count = fs.readSync(0, data, filled, size - filled, null);
    if (count === 0) process.exit(0);
    filled += count;
  }
  return data;
}

const readBlock = () => readExactly(readExactly(4).readUInt32BE()).toString("utf8");

function block(text) {
  const data = Buffer.from(text, "utf8");
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  return Buffer.concat([length, data]);
}

function writeAll(data) {
  for (let written = 0; written < data.length; ) written += fs.writeSync(1, data, written);
}

for (;;) {
  const name = readBlock();
  const [errors, files] = compile(name, readBlock());
  writeAll(Buffer.concat([block(errors), ...files.flat().map(block), block("")]));
}
