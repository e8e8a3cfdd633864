// Bundlers: the probe in one file, as ESM and CommonJS, plain and minified, must print the same as without a bundler.
import { join } from 'node:path'

// CommonJS code in an ES module needs `require`.
const REQUIRE = "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);"

const FORMATS = { ESM: 'mjs', CJS: 'cjs' }

/** Any line of a bundle: a warning has no better place without a source map. */
const inBundle = (folder, file) => new RegExp(`${folder}[\\\\/]${file.replace('.', '\\.')}:\\d+:\\d+`)

/**
 * Cases for both formats, plain and minified. `make` writes the file, and returns `{ ok, output }`. A minified bundle has a source
 * map, and runs without it and with it: warnings must name the line of the bundle, and then the line of the application.
 */
function matrix (kit, folder, make) {
  const cases = {}
  for (const [format, extension] of Object.entries(FORMATS)) {
    for (const minify of [false, true]) {
      cases[`${format}${minify ? ', minified' : ''}`] = async () => {
        kit.copy('probe.mjs', join(folder, 'probe.mjs'))
        const out = `out-${extension}-${minify ? 'min' : 'plain'}`
        const file = join(folder, out, `probe.${extension}`)
        const made = await make({ format, file, minify })
        if (!made.ok) return made.output
        const { output } = await kit.run(folder, process.execPath, [file])
        const wrong = kit.judge(output, inBundle(out, `probe.${extension}`))
        if (!minify || wrong.length > 0) return wrong
        return kit.judge((await kit.run(folder, process.execPath, ['--enable-source-maps', file])).output)
      }
    }
  }
  return cases
}

export const bundles = [
  {
    name: 'esbuild',
    tools: ['esbuild'],
    cases: (kit, folder) => matrix(kit, folder, ({ format, file, minify }) => kit.run(folder, 'npx', [
      '--no-install', 'esbuild', 'probe.mjs', '--bundle', '--platform=node', `--format=${format.toLowerCase()}`, `--outfile=${file}`,
      ...minify ? ['--minify', '--sourcemap'] : [], ...format === 'ESM' ? [`--banner:js=${REQUIRE}`] : []
    ]))
  },
  {
    name: 'rollup',
    tools: ['rollup', '@rollup/plugin-node-resolve', '@rollup/plugin-commonjs', '@rollup/plugin-json', '@rollup/plugin-terser'],
    cases: (kit, folder) => matrix(kit, folder, ({ format, file, minify }) => {
      kit.write(join(folder, 'rollup.config.mjs'), `
        import resolve from '@rollup/plugin-node-resolve'
        import commonjs from '@rollup/plugin-commonjs'
        import json from '@rollup/plugin-json'
        import terser from '@rollup/plugin-terser'
        export default {
          input: 'probe.mjs',
          plugins: [resolve({ preferBuiltins: true, exportConditions: ['node'] }), commonjs({ ignoreDynamicRequires: true }), json(), ${minify ? 'terser()' : ''}],
          onwarn () {},
          output: { file: ${JSON.stringify(file)}, format: '${format === 'ESM' ? 'es' : 'cjs'}', sourcemap: ${minify}, inlineDynamicImports: true }
        }`)
      return kit.run(folder, 'npx', ['--no-install', 'rollup', '-c', '--silent'])
    })
  },
  {
    name: 'webpack',
    tools: ['webpack', 'webpack-cli'],
    cases: (kit, folder) => matrix(kit, folder, ({ format, file, minify }) => {
      kit.write(join(folder, 'webpack.config.mjs'), `
        import { dirname, basename } from 'node:path'
        const file = ${JSON.stringify(file)}
        export default {
          mode: '${minify ? 'production' : 'development'}',
          devtool: ${minify ? "'source-map'" : false},
          optimization: { nodeEnv: false },
          target: 'node20',
          entry: './probe.mjs',
          stats: 'errors-only',
          ${format === 'ESM' ? 'experiments: { outputModule: true },' : ''}
          output: { path: dirname(file), filename: basename(file)${format === 'ESM' ? ', module: true' : ''} }
        }`)
      return kit.run(folder, 'npx', ['--no-install', 'webpack'])
    })
  },
  {
    name: 'vite ssr',
    tools: ['vite'],
    cases: (kit, folder) => ({
      'everything in the bundle, minified': async () => {
        kit.copy('probe.mjs', join(folder, 'probe.mjs'))
        kit.write(join(folder, 'vite.config.mjs'), "export default { ssr: { noExternal: true, target: 'node' }, build: { ssr: 'probe.mjs', outDir: 'out', minify: true, rollupOptions: { output: { entryFileNames: 'probe.mjs' } } }, logLevel: 'error' }")
        const made = await kit.run(folder, 'npx', ['--no-install', 'vite', 'build'])
        return made.ok ? kit.judge((await kit.run(folder, process.execPath, ['out/probe.mjs'])).output, inBundle('out', 'probe.mjs')) : made.output
      }
    })
  },
  {
    name: 'tsup',
    tools: ['tsup', 'typescript@5.9'],
    cases: (kit, folder) => ({
      'CJS, dependencies within': async () => {
        kit.copy('probe.mjs', join(folder, 'probe.mjs'))
        kit.write(join(folder, 'tsup.config.mjs'), "export default { entry: ['probe.mjs'], format: ['cjs'], minify: true, noExternal: [/./] }")
        const made = await kit.run(folder, 'npx', ['--no-install', 'tsup'])
        return made.ok ? kit.judge((await kit.run(folder, process.execPath, ['dist/probe.cjs'])).output, inBundle('dist', 'probe.cjs')) : made.output
      }
    })
  },
  {
    name: 'swc',
    tools: ['@swc/core', '@swc/cli'],
    cases: (kit, folder) => ({
      'the application alone, to CommonJS, minified': async () => {
        kit.copy('probe.mjs', join(folder, 'src/probe.mjs'))
        kit.write(join(folder, '.swcrc'), { jsc: { target: 'es2022', minify: { compress: true, mangle: true } }, module: { type: 'commonjs' }, minify: true })
        kit.write(join(folder, 'out/package.json'), { type: 'commonjs' })
        const made = await kit.run(folder, 'npx', ['--no-install', 'swc', 'src/probe.mjs', '-o', 'out/probe.cjs'])
        return made.ok ? kit.judge((await kit.run(folder, process.execPath, ['out/probe.cjs'])).output, inBundle('out', 'probe.cjs')) : made.output
      }
    })
  }
]
