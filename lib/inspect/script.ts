/**
 * The script of the page: plain JavaScript for a browser, as text, because the policy of the page has its digest.
 * Data of requests becomes text nodes, never markup.
 */
export const SCRIPT = `
'use strict'
const INTERVAL = 2000
const data = location.pathname.replace(/\\/+$/, '') + '/data'
const find = (id) => document.getElementById(id)
let report

function element (name, options, ...children) {
  const made = Object.assign(document.createElement(name), options)
  made.append(...children)
  return made
}

function text (value) {
  return value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value)
}

function time (ms) {
  if (ms === undefined) return ''
  if (ms < 1000) return ms + ' ms'
  return ms < 120000 ? (ms / 1000).toFixed(1) + ' s' : Math.round(ms / 60000) + ' min'
}

function table (head, rows) {
  return element('table', {},
    element('thead', {}, element('tr', {}, ...head.map((cell) => element('th', { scope: 'col' }, cell)))),
    element('tbody', {}, ...rows))
}

function row (cells, className = '') {
  return element('tr', { className }, ...cells.map((cell) => cell instanceof Node ? cell : element('td', {}, text(cell))))
}

function number (value, bad) {
  return element('td', { className: bad ? 'number bad' : 'number' }, text(value))
}

function matches (fields, name, wanted) {
  if (wanted === '') return true
  return Object.keys(fields).some((key) => (name === '' || key === name) && text(fields[key]).toLowerCase().includes(wanted))
}

function openScopes (scopes) {
  const name = find('field').value
  const wanted = find('filter').value.trim().toLowerCase()
  const oldestFirst = find('order').value === 'oldest'
  const shown = scopes.filter(({ fields }) => matches(fields, name, wanted)).sort((a, b) => oldestFirst ? b.age - a.age : a.age - b.age)
  return table(['kind', 'id', 'route', 'phase', 'function', 'age', 'left', 'stopped', 'fields'], shown.map((scope) => row([
    scope.current ? scope.kind + ' (this page)' : scope.kind,
    element('td', {}, element('code', {}, text(scope.requestId))),
    scope.route, scope.phase, scope.name,
    number(time(scope.age)), number(time(scope.remaining), scope.remaining === 0),
    scope.aborted ? 'yes' : 'no',
    element('td', {}, ...Object.keys(scope.fields).map((key) => element('div', {}, key + ': ', element('code', {}, text(scope.fields[key])))))
  ], scope.current ? 'current' : scope.aborted ? 'aborted' : '')))
}

function counters ({ since, counts, warnings, open }) {
  const named = [
    ['opened', counts.opened], ['ended', counts.ended],
    ['open: requests', open.request], ['open: runs', open.run], ['open: detached work', open.detached], ['open: onEnd callbacks', open.onEnd],
    ['never ended, and collected', counts.collected, true], ['late reads', counts.lateReads, true], ['early reads', counts.earlyReads, true], ['runs still open at the end', counts.stillOpen, true]
  ]
  const rows = named.map(([name, value, isBad]) => row([name, number(value, isBad && value > 0)]))
  for (const code of Object.keys(warnings)) rows.push(row([element('td', {}, element('code', {}, code)), number(warnings[code], true)]))
  return table(['counted since ' + new Date(since).toLocaleString(), ''], rows)
}

function policy (rows) {
  return table(['key', 'seeded', 'logged', 'locked', 'detached', 'carried', 'header', 'origins', 'attribute'], rows.map(({ key, seeded, logged, locked, detached, carried, header, origins, attribute }) =>
    row([element('td', {}, element('code', {}, key)), seeded ? 'yes' : 'no', logged, locked ? 'yes' : 'no', detached ? 'yes' : 'no', carried, header, origins.join(' '), attribute])))
}

function draw () {
  const { contexts, patches } = report
  const select = find('field')
  const names = new Set(contexts.flatMap(({ policy, inFlight }) => [
    ...policy.filter(({ logged }) => logged !== 'no').map(({ key }) => key), ...inFlight.scopes.flatMap(({ fields }) => Object.keys(fields))]))
  for (const name of names) {
    if (![...select.options].some(({ value }) => value === name)) select.append(element('option', { value: name }, name))
  }
  find('contexts').replaceChildren(...contexts.flatMap(({ inFlight, policy: rows }, i) => [
    element('h2', {}, contexts.length === 1 ? 'Open' : 'Open in context ' + (i + 1)), openScopes(inFlight.scopes),
    element('h2', {}, 'Counted'), counters(inFlight),
    element('h2', {}, 'Policy'), policy(rows)
  ]))
  find('patches').replaceChildren(table(['what', 'property', 'state', 'without it'], patches.map(({ target, property, state, without }) =>
    row([target, property, element('td', { className: state === 'not available' ? 'bad' : '' }, state), state === 'replaced' ? '' : without]))))
}

async function update () {
  const status = find('status')
  try {
    const response = await fetch(data, { cache: 'no-store', headers: { accept: 'application/json' } })
    if (!response.ok) throw new Error('HTTP ' + response.status)
    report = await response.json()
    const { pid, node, uptime } = report.process
    status.textContent = 'process ' + pid + ', Node.js ' + node + ', up for ' + time(uptime * 1000) + ', read at ' + new Date().toLocaleTimeString()
    status.className = 'quiet'
    draw()
  } catch (error) {
    status.textContent = 'not updated: ' + error.message
    status.className = 'bad'
  }
}

async function loop () {
  if (find('refresh').checked && !document.hidden) await update()
  setTimeout(loop, INTERVAL)
}

find('controls').addEventListener('submit', (event) => { event.preventDefault() })
find('controls').addEventListener('input', () => { if (report !== undefined) draw() })
loop()
`
