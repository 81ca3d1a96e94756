// Logs in with a token; the page then shows what was asked for.
document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const response = await fetch("/api/v1/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token: document.getElementById("token").value }),
  });
  if (response.ok) {
    if (location.pathname === "/login") location.replace("/");
    else location.reload();
  } else {
    document.getElementById("refused").textContent = "This token is not accepted.";
  }
});
