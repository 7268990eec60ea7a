"""Which of several classes a picture shows: any number of them, such as the land cover of a satellite's tile."""
