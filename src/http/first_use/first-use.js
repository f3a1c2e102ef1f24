// The first-use page: what runs, the snippet with this address, and the way of a test event.
'use strict';

const element = (id) => document.getElementById(id);
/** How long the event is watched, and how often it is asked for, in milliseconds. */
const PATIENCE = 60000;
const PAUSE = 300;

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Adds a step to what became of the event. */
const step = (text, kind) => {
  const item = document.createElement('li');
  item.textContent = text;
  item.className = kind || '';
  element('steps').append(item);
};

/** An id that no other event has; also in pages that are not served over https. */
const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');

const seconds = (begun) => ((performance.now() - begun) / 1000).toFixed(2) + ' s';

/** Tells of each destination what it did with the event, as soon as it did. */
const watch = async (id, token, begun) => {
  const told = new Set();
  while (performance.now() - begun < PATIENCE) {
    // Without what the browser may know by itself, or it would ask for a password.
    const answer = await fetch('/api/v1/events/' + id, {credentials: 'omit', headers: {Authorization: 'Bearer ' + token}});
    if (answer.status === 401 || answer.status === 403) {
      step('What became of it is told to those with the admin token: this one is another.', 'bad');
      return;
    }
    const found = answer.ok ? (await answer.json()).events : [];
    const destinations = found.length ? Object.entries(found[0].destinations) : [];
    for (const [name, {state, reason}] of destinations) {
      if (state === 'pending' || told.has(name)) continue;
      told.add(name);
      const isThere = state === 'stored' || state === 'settled';
      step((isThere ? 'In ' + name : 'Rejected by ' + name + (reason ? ': ' + reason : '')) + ', after ' + seconds(begun), isThere ? 'good' : 'bad');
    }
    if (destinations.length && told.size === destinations.length) return;
    await wait(PAUSE);
  }
  step('It has not arrived within a minute. The collector’s log says why.', 'bad');
};

const send = async (stream, token) => {
  const id = newId();
  const begun = performance.now();
  step('Sent to stream ' + stream + ' as event ' + id);
  const answer = await fetch('/api/v1/streaming/' + encodeURIComponent(stream), {
    method: 'POST',
    body: JSON.stringify({
      event_name: 'test_event',
      event_id: id,
      event_params: {page_location: location.origin + location.pathname, page_title: document.title, page_referrer: document.referrer},
    }),
  });
  const {message} = await answer.json();
  if (!answer.ok) {
    step('Refused with ' + answer.status + ': ' + message, 'bad');
    return;
  }
  step('Taken, after ' + seconds(begun), 'good');
  if (token) await watch(id, token, begun);
};

element('test').addEventListener('submit', async (event) => {
  event.preventDefault();
  element('steps').textContent = '';
  try {
    await send(element('stream').value, element('token').value);
  } catch (fault) {
    step('The collector does not answer: ' + fault.message, 'bad');
  }
});

element('stream').addEventListener('input', () => snippet());
const snippet = () => {
  element('snippet').textContent = '<script async src="' + location.origin + '/static/rs.js" data-stream="' + element('stream').value + '"></script>';
};

element('copy').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText(element('snippet').textContent);
    element('copied').textContent = 'Copied';
  } catch (fault) {
    getSelection().selectAllChildren(element('snippet'));
    element('copied').textContent = 'Selected: copy it by keyboard';
  }
});

const describe = async () => {
  const {version, destinations} = await (await fetch('/health')).json();
  element('version').textContent = version;
  element('destinations').textContent = destinations.map(({name}) => name).join(', ');
};

// The address that the collector logs brings the token; it is for this page alone.
if (location.hash.length > 1) {
  element('token').value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, '', location.pathname);
}
snippet();
describe().catch(() => {});
