// Judging drops from the keyboard: y and n press the buttons of the card in focus, or of the first one.
const first = document.querySelector('.judge .one');
for (const hint of document.querySelectorAll('.keys')) hint.hidden = false;
if (first && location.hash === '#sample') first.focus({preventScroll: true});

addEventListener('keydown', event => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, textarea, select')) return;
  const says = {y: 'yes', n: 'no'}[event.key.toLowerCase()];
  if (!says) return;
  const card = document.activeElement.closest('.one') || first;
  const button = card && card.querySelector(`button[value="${says}"]`);
  if (!button || card.dataset.done) return;
  card.dataset.done = '1';  // a second press before the next page comes is not for this card
  event.preventDefault();
  button.click();
});
