// The theme that was chosen here before, set ahead of the first paint. Without a choice the system's own applies.
try {
  const chosen = localStorage.getItem('theme');
  if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
} catch {
  // no storage here: nothing was chosen
}
