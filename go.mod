module nexus.internal

go 1.26.8
