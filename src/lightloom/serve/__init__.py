"""Any checkpoint as a web page and an API: a front that decodes nothing, a process for each model, one for films."""
