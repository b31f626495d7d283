/* Everloop for web pages: what people do with an answer becomes feedback. No dependencies, nothing to build.

   <script src="https://everloop.example/static/everloop.js" data-key="evl_…" defer></script>
   <p data-everloop="ID OF THE ANSWER">…the answer…</p>
   <div data-everloop-vote="ID OF ONE, ID OF THE OTHER"></div>
   <button data-everloop-retry="ID OF THE ANSWER">Ask again</button>

   data-everloop-with="thumbs correct implicit" chooses what an answer gets (this is the default), data-everloop-choices
   ="a|b|c" offers a list to correct it from, data-everloop-mask keeps a part of it out of everything that is sent.
   The key must be publishable: it can only send feedback, from the pages it was made for; the console says why it is
   refused. A page with a content security policy allows the server in script-src and connect-src. The same from a program: Everloop.attach(element, {id, …}),
   Everloop.vote(element, [id, id]), Everloop.feedback(id, kind, fields), Everloop.init({…}), Everloop.flush(). */
(() => {
  'use strict';
  if (window.Everloop) return;
  const own = document.currentScript, data = own ? own.dataset : {};
  const KEPT = 'everloop.unsent.', MOST = 200, BEACON = 60000;
  const config = {
    url: own ? new URL(own.src).origin : location.origin, key: data.key || '', subject: data.subject || '',
    implicit: !navigator.globalPrivacyControl,  // who asks not to be shared is not watched; what they say still counts
    words: {
      up: 'Good answer', down: 'Bad answer', correct: 'Correct it', right: 'What should it say?',
      reason: 'Why? (optional)', save: 'Save', cancel: 'Cancel', thanks: 'Thank you', same: 'Nothing was changed',
      first: 'The first is better', second: 'The second is better', tie: 'Equally good', bad: 'Both are bad',
    },
  };
  let unsent = [], flying = [], timer = 0, failures = 0, told = false;

  const newId = () => {  // a UUIDv7: 48 bits of milliseconds, the rest random
    const b = crypto.getRandomValues(new Uint8Array(16));
    let t = Date.now();
    for (let i = 5; i >= 0; i--) { b[i] = t % 256; t = Math.floor(t / 256); }
    b[6] = b[6] & 15 | 112; b[8] = b[8] & 63 | 128;
    const hex = [...b].map(x => x.toString(16).padStart(2, '0')).join('');
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  };
  const visit = newId();  // whoever this is: says that two clicks on one page are one person's, and nothing more

  // ---- sending: in batches, again after a failure, by beacon when the page goes

  const address = () => config.url + '/v1/feedback' + (config.key ? '?key=' + encodeURIComponent(config.key) : '');
  const body = events => events.map(e => JSON.stringify(e)).join('\n');
  const bytes = events => new Blob([body(events)]).size;
  const cut = events => {  // the first of them, as many as one request takes from a visitor, and one beacon
    let n = 0, size = 0;
    for (; n < events.length && n < 50; n++) {
      size += bytes([events[n]]) + 1;
      if (n && size > BEACON) break;
    }
    return events.splice(0, n);
  };
  const later = ms => { clearTimeout(timer); timer = setTimeout(flush, ms); };

  function feedback(interaction, kind, fields) {
    const event = {id: newId(), interaction, kind, at: Date.now(), subject: config.subject || 'web:' + visit, ...fields};
    unsent.push(event);
    if (unsent.length > MOST) unsent.shift();
    if (!failures) later(300);
    return event.id;
  }

  async function flush() {
    clearTimeout(timer);
    if (!unsent.length || flying.length) return;
    flying = cut(unsent);
    let again = false;
    try {
      // text/plain needs no permission asked first, which would cost another round trip.
      const answer = await fetch(address(), {method: 'POST', body: body(flying), headers: {'content-type': 'text/plain'},
        credentials: 'omit', keepalive: bytes(flying) < BEACON});
      again = answer.status === 408 || answer.status === 429 || answer.status > 499;
      if (!again && (!answer.ok || answer.status === 207) && !told) {  // some of it, or all
        told = true;
        const why = (await answer.text()).split('\n').find(line => line.includes('"error"')) || answer.status;
        console.warn('everloop: feedback was refused: ' + String(why).slice(0, 300));
      }
    } catch { again = true; }
    if (again) unsent = flying.concat(unsent).slice(-MOST);
    flying = [];
    failures = again ? failures + 1 : 0;
    if (unsent.length) later(failures ? Math.min(60000, 500 * 2 ** failures) * (0.5 + Math.random()) : 0);
    if (failures) keep(); else forget();
  }

  function leave() {
    for (const watch of watched) watch();
    // What is on its way may not arrive once the page has gone: it goes again, and is known by its id.
    const rest = flying.concat(unsent);
    unsent = []; flying = [];
    while (rest.length) {
      const part = cut(rest);
      if (!navigator.sendBeacon(address(), new Blob([body(part)], {type: 'text/plain'}))) unsent.push(...part);
    }
    if (unsent.length) keep(); else forget();
  }

  const keep = () => { try { localStorage.setItem(KEPT + visit, body(unsent)); } catch { /* full, or not allowed */ } };
  const forget = () => { try { localStorage.removeItem(KEPT + visit); } catch { /* not allowed */ } };
  function recall() {
    try {
      for (const name of Object.keys(localStorage).filter(n => n.startsWith(KEPT))) {
        for (const line of localStorage.getItem(name).split('\n')) if (line) unsent.push(JSON.parse(line));
        localStorage.removeItem(name);
      }
    } catch { /* not allowed, or not ours */ }
    if (unsent.length) later(1000);
  }

  // ---- what people see

  const make = (tag, fields, ...inside) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(fields)) {
      if (name in made) made[name] = value; else made.setAttribute(name, value);
    }
    made.append(...inside);
    return made;
  };
  const button = (text, label, click) => make('button', {type: 'button', 'aria-label': label, title: label, onclick: click}, text);
  const icon = (path, turned) => {  // drawn: not every machine has the signs in its fonts
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    const line = document.createElementNS(svg.namespaceURI, 'path');
    for (const [name, value] of [['viewBox', '0 0 16 16'], ['width', 16], ['height', 16], ['aria-hidden', true]]) {
      svg.setAttribute(name, value);
    }
    for (const [name, value] of [['d', path], ['fill', 'none'], ['stroke', 'currentColor'], ['stroke-width', 1.4],
      ['stroke-linejoin', 'round'], ...turned ? [['transform', 'rotate(180 8 8)']] : []]) line.setAttribute(name, value);
    svg.append(line);
    return svg;
  };
  const THUMB = 'M2 7h2.5v7H2zM4.5 8 7.5 2c1.3 0 1.9.9 1.6 2.2L8.5 6.5h4c1 0 1.5.8 1.3 1.7l-1 4.5c-.2.8-.8 1.3-1.6 1.3H4.5';
  const PENCIL = 'M2.5 13.5l.8-3.300 7.5-7.5 2.5 2.5-7.5 7.5zM9.5 4l2.5 2.5';
  const bar = element => {
    const said = make('span', {role: 'status'}), made = make('span', {className: 'everloop', role: 'group'});
    element.after(made);
    return [made, said];
  };
  // The text of an element, without what is masked and without what somebody typed into it.
  const textOf = element => {
    if (element.closest('[data-everloop-mask]')) return '•••';
    const copy = element.cloneNode(true);
    copy.querySelectorAll('[data-everloop-mask], input, textarea, select').forEach(part => part.replaceWith('•••'));
    return copy.textContent.trim();
  };

  function attach(element, options) {
    const {id, choices, ...more} = options, words = config.words;
    const wanted = options.with || 'thumbs correct implicit', does = what => wanted.includes(what);
    if (element.everloop) return;
    element.everloop = id;
    const [group, said] = bar(element);
    if (does('thumbs')) {
      const thumbs = ['up', 'down'].map(value => {
        const one = button(icon(THUMB, value === 'down'), words[value], () => {
          if (one.getAttribute('aria-pressed') === 'true') return;
          thumbs.forEach(other => { other.setAttribute('aria-pressed', other === one); });
          feedback(id, 'thumb', {value});
          said.textContent = words.thanks;
        });
        one.setAttribute('aria-pressed', false);
        return one;
      });
      group.append(...thumbs);
    }
    if (does('correct')) group.append(button(icon(PENCIL), words.correct, event => correct(element, id, choices, said, event.currentTarget)));
    group.append(said);
    if (does('implicit') && config.implicit) observe(element, id, more);
  }

  function correct(element, id, choices, said, opener) {
    if (opener.disabled) return;
    const words = config.words, before = textOf(element), began = performance.now();
    const value = choices ? make('select', {'aria-label': words.right}, ...choices.map(c => make('option', {value: c}, c)))
      : make('textarea', {'aria-label': words.right, rows: Math.min(12, 2 + before.length / 60 | 0)});
    value.value = before;
    const reason = make('input', {'aria-label': words.reason, placeholder: words.reason, maxLength: 1000});
    const close = note => { form.remove(); opener.disabled = false; opener.focus(); said.textContent = note; };
    const form = make('form', {className: 'everloop', onsubmit: event => {
      event.preventDefault();
      const now = value.value.trim();
      if (!now || now === before) return close(words.same);
      const rationale = reason.value.trim();
      feedback(id, 'correction', {value: now, seconds: Math.round((performance.now() - began) / 100) / 10,
        ...rationale && {rationale}});
      if (before === element.textContent.trim()) element.textContent = now;
      close(words.thanks);
    }, onkeydown: event => { if (event.key === 'Escape') close(''); }},
    value, reason, make('button', {}, words.save), button(words.cancel, words.cancel, () => close('')));
    opener.disabled = true;
    element.parentNode.insertBefore(form, opener.parentNode.nextSibling);
    value.focus();
  }

  function vote(element, ids) {
    if (element.everloop) return;
    element.everloop = ids[0];
    const words = config.words, said = make('span', {role: 'status'});
    const group = make('span', {className: 'everloop', role: 'group'});
    const choices = [['this', words.first], ['other', words.second], ['tie', words.tie], ['both_bad', words.bad]];
    group.append(...choices.map(([value, label]) => button(label, label, event => {
      group.querySelectorAll('button').forEach(b => { b.disabled = true; b.setAttribute('aria-pressed', b === event.currentTarget); });
      feedback(ids[0], 'vote', {value, other: ids[1]});
      said.textContent = words.thanks;
    })), said);
    element.append(group);
  }

  // ---- what people do: how long an answer was on the screen, that it was copied, that they asked again

  const watched = [];
  function observe(element, id, {item, position, context_type}) {
    const where = {...item && {item}, ...position != null && {position}, ...context_type && {context_type},
      hour: new Date().getHours()};
    let seen = 0, since = 0;
    const tick = visible => {
      if (since) seen += performance.now() - since;
      since = visible && !document.hidden ? performance.now() : 0;
    };
    let inView = false;
    new IntersectionObserver(entries => { inView = entries[entries.length - 1].isIntersecting; tick(inView); },
      {threshold: 0.5}).observe(element);
    document.addEventListener('visibilitychange', () => tick(inView));
    element.addEventListener('copy', () => feedback(id, 'implicit', {value: 'copy', ...where}));
    watched.push(() => {  // each sends what was seen since the last: together they are the whole
      tick(inView);
      if (seen >= 1000) feedback(id, 'implicit', {value: 'dwell', dwell_ms: Math.round(seen), reason_end: 'left', ...where});
      if (seen >= 1000) seen = 0;
    });
  }
  const retry = id => config.implicit && feedback(id, 'implicit', {value: 'retry', hour: new Date().getHours()});

  // ---- starting

  function scan(root) {
    root.querySelectorAll('[data-everloop]').forEach(element => {
      const set = element.dataset;
      if (set.everloop) attach(element, {id: set.everloop, with: set.everloopWith, item: set.everloopItem,
        choices: set.everloopChoices && set.everloopChoices.split('|'),
        position: set.everloopPosition && Number(set.everloopPosition)});
    });
    root.querySelectorAll('[data-everloop-vote]').forEach(element => {
      vote(element, element.dataset.everloopVote.split(/[\s,]+/));
    });
  }
  function init(options) {
    const {words, ...others} = options || {};
    Object.assign(config, others);
    Object.assign(config.words, words);
    if (others.url) config.url = others.url.replace(/\/+$/, '');
    scan(document);
  }
  function start() {
    try {  // a sheet made by the script is allowed where a page forbids inline styles
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(`.everloop{display:inline-flex;flex-wrap:wrap;gap:.4em;align-items:center;margin:.3em}
form.everloop{display:flex;flex-direction:column;align-items:stretch;max-width:42em}
.everloop button,.everloop input,.everloop textarea,.everloop select{font:inherit;min-height:2em;box-sizing:border-box}
.everloop button[aria-pressed=true]{outline:2px solid}
.everloop ::placeholder{color:inherit;opacity:.75}`);
      document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    } catch { /* an old browser: it looks plain and works */ }
    recall();
    scan(document);
    new MutationObserver(() => scan(document)).observe(document.body, {childList: true, subtree: true});
    document.addEventListener('click', event => {
      const asked = event.target.closest && event.target.closest('[data-everloop-retry]');
      if (asked) retry(asked.dataset.everloopRetry);
    });
    document.addEventListener('visibilitychange', () => { if (document.hidden) leave(); });
    addEventListener('pagehide', leave);
    addEventListener('online', () => { failures = 0; flush(); });
  }
  window.Everloop = {init, attach, vote, feedback, retry, flush, scan: () => scan(document)};
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', start); else start();
})();
